"""TensorRtEngine against stand-ins for CUDA and TensorRT; nothing here ran on a GPU."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra: export")

from export.fuse import fuse
from mfm_edge.engine.choose import open_engine
from mfm_edge.engine.folder import read_model
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.engine.plans import Plan, default_folder, find_plan, read_engine, write_plan
from mfm_edge.engine.tensorrt import TensorRtEngine
from mfm_edge.errors import ModelError
from mfm_edge.style import expand

ENGINE = b"not really an engine"
PLAN = Plan(
    flavour="tensorrt_rtx",
    version="1.2.3",
    targets=(80, 86, 89, 120),
    model_id="0123456789abcdef",
    precision="f32",
    batch=3,
    inputs={},
    outputs={},
    onnx_sha256="0" * 64,
    engine_sha256=hashlib.sha256(ENGINE).hexdigest(),
)
WANTED = {"flavour": "tensorrt_rtx", "version": "1.2.3", "target": 89, "model_id": PLAN.model_id, "precision": "f32"}


def test_what_was_written_is_found_again(tmp_path):
    write_plan(tmp_path, PLAN, ENGINE)
    assert find_plan(tmp_path, **WANTED) == PLAN
    assert read_engine(tmp_path, PLAN) == ENGINE


@pytest.mark.parametrize(
    "change",
    [{"target": 75}, {"version": "1.2.4"}, {"precision": "f16"}, {"model_id": "f" * 16}, {"flavour": "tensorrt"}],
)
def test_an_engine_that_does_not_fit_is_not_taken(tmp_path, change):
    write_plan(tmp_path, PLAN, ENGINE)
    with pytest.raises(ModelError, match=r"no engine of tensorrt.*\(there: 0123456789abcdef-f32-tensorrt_rtx-sm80"):
        find_plan(tmp_path, **WANTED | change)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "targets": 3}'])
def test_what_is_no_description_is_passed_over(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ModelError, match=r"\(there: none\)"):
        find_plan(tmp_path, **WANTED)


def test_a_damaged_engine_is_refused(tmp_path):
    write_plan(tmp_path, PLAN, ENGINE).write_bytes(ENGINE + b"!")
    with pytest.raises(ModelError, match="build it again"):
        read_engine(tmp_path, PLAN)


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """A cache folder with an engine of the shipped model: for the stand-in its bytes are the graph."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = read_model()
    content = fuse(model).SerializeToString()
    plan = replace(PLAN, model_id=model.model_id, engine_sha256=hashlib.sha256(content).hexdigest())
    write_plan(default_folder(), plan, content)
    return default_folder()


def test_it_gives_the_faces_of_onnx_runtime_for_every_batch(stand_ins, engines):
    engine, expected = TensorRtEngine(), OnnxEngine()
    assert engine.model_id == expected.model_id
    assert engine.provider == f"tensorrt_rtx on SM{stand_ins.SM}, f32"
    rng, key = np.random.default_rng(0), expand(b"k" * 32, np.zeros(17, np.float32))
    for count in (2, 1, 2, 3):  # the second 2 plays what the first one recorded, with other pictures
        crops = rng.integers(0, 256, (count, 128, 128, 3), np.uint8)
        found, right = (one.modify(crops, [key] * count) for one in (engine, expected))
        assert np.abs(found.faces.astype(int) - right.faces).max() <= 1
        back, right_back = (one.modify(found.faces, [key.inverse()] * count) for one in (engine, expected))
        np.testing.assert_allclose(back.evidence, right_back.evidence, atol=1e-4)
    assert stand_ins.cuda.calls.count("cudaGraphInstantiate") == 3
    keys = [key, expand(b"o" * 32, np.zeros(17, np.float32))]  # one crop under both
    found, right = (one.modify(crops[:1], keys) for one in (engine, expected))
    assert np.abs(found.faces.astype(int) - right.faces).max() <= 1
    with pytest.raises(ModelError, match="got 4 faces, takes 3"):
        engine.modify(np.zeros((4, 128, 128, 3), np.uint8), [key] * 4)


def test_the_automatic_choice_takes_it(stand_ins, engines):
    assert open_engine().provider.startswith("tensorrt_rtx on SM")


def test_what_is_missing_is_named_and_the_next_provider_used(stand_ins, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = ["TensorRT-RTX", "CPU"]
    with pytest.warns(RuntimeWarning, match="asked for TensorRT-RTX, running on CPUExecutionProvider.*to_tensorrt"):
        open_engine(providers=asked)
    with pytest.raises(ModelError, match="no engine of tensorrt_rtx 1.2.3 for SM89"):
        open_engine(providers=asked, strict=True)
    stand_ins.cuda.devices = 0
    with pytest.raises(ModelError, match="no CUDA device"):
        TensorRtEngine()
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ModelError, match=r"cannot import cuda\.bindings"):
        TensorRtEngine()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(ModelError, match="cannot import tensorrt_rtx"):
        TensorRtEngine()


def test_errors_of_cuda_are_named(stand_ins, engines):
    stand_ins.cuda.cudaMalloc = lambda _size: (2, 0)
    with pytest.raises(ModelError, match="cudaMalloc reports 2"):
        TensorRtEngine()
