from __future__ import annotations

import sys
import warnings

import onnxruntime
import pytest

from mfm_edge.engine.choose import AUTOMATIC, open_engine
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.errors import ModelError


@pytest.fixture
def offers_cuda(monkeypatch):
    """An ONNX Runtime that offers CUDA and cannot start it, as onnxruntime-gpu without a driver: it takes the CPU."""
    real = onnxruntime.InferenceSession
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda content, options, providers: real(content, options, providers=["CPUExecutionProvider"]),
    )


@pytest.fixture
def no_extras(monkeypatch):
    for module in ("openvino", "tensorrt_rtx", "tensorrt"):
        monkeypatch.setitem(sys.modules, module, None)


def test_openvino_is_used_only_when_asked_for(monkeypatch):
    pytest.importorskip("openvino", reason="needs the extra: openvino")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert open_engine(providers=["OpenVINO"]).provider.startswith("OpenVINO CPU")
    assert open_engine().provider == "CPUExecutionProvider"


def test_a_request_that_cannot_be_honoured_is_never_silent(no_extras):
    with pytest.raises(ModelError, match="cannot import openvino"):
        open_engine(providers=["OpenVINO"])
    with pytest.warns(RuntimeWarning, match="asked for OpenVINO, running on CPUExecutionProvider"):
        assert open_engine(providers=["OpenVINO", "CPU"]).provider == "CPUExecutionProvider"
    with pytest.raises(ModelError, match="cannot import openvino"):
        open_engine(providers=["OpenVINO", "CPU"], strict=True)


@pytest.mark.parametrize("name", ["CUDA", "CUDAExecutionProvider"])
def test_a_provider_that_is_offered_but_does_not_start_is_told(name, offers_cuda):
    with pytest.warns(RuntimeWarning, match=f"asked for {name}, .*offers, but it runs on CPUExecutionProvider"):
        open_engine(providers=[name, "CPU"])
    with pytest.raises(ModelError, match="offers, but it runs on CPUExecutionProvider"):
        OnnxEngine(provider="CUDAExecutionProvider")


def test_the_automatic_choice_ends_on_the_cpu_without_a_word(no_extras, offers_cuda):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_engine().provider == "CPUExecutionProvider"
    assert AUTOMATIC[-1] == "CPU"


def test_what_no_provider_can_do_is_said_once(no_extras):
    with pytest.raises(ModelError, match="none of these runs: .*NoSuchProvider.*cannot import openvino"):
        open_engine(providers=["NoSuchProvider", "OpenVINO"])
    with pytest.raises(ModelError, match="takes at least one"):
        open_engine(providers=[])
    with pytest.raises(ModelError, match="precision: got 'f8', takes f32"):
        open_engine(providers=["CPU"], precision="f8")
    with pytest.raises(ModelError, match="^model: cannot read"):
        open_engine("nowhere")
