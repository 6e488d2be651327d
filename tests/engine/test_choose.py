import sys

import pytest

from mfm_edge.engine.choose import open_engine
from mfm_edge.errors import ModelError


def test_openvino_is_used_when_asked_for():
    pytest.importorskip("openvino", reason="needs the extra: openvino")
    assert open_engine(providers=["OpenVINO"]).provider.startswith("OpenVINO CPU")


def test_a_request_that_cannot_be_honoured_is_never_silent(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match="cannot import openvino"):
        open_engine(providers=["OpenVINO"])
    with pytest.warns(RuntimeWarning, match="asked for OpenVINO, running on CPUExecutionProvider"):
        assert open_engine(providers=["OpenVINO", "CPUExecutionProvider"]).provider == "CPUExecutionProvider"
