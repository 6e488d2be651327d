"""export.to_tensorrt: really built where TensorRT for RTX is installed, the classic one with a stand-in."""

from __future__ import annotations

import hashlib
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")

from export.fuse import fuse  # noqa: E402
from export.narrow import F16_OPERATORS, layers_of, to_f16  # noqa: E402
from export.to_tensorrt import build, main  # noqa: E402
from mfm_edge.engine.folder import Model, read_model  # noqa: E402
from mfm_edge.engine.plans import Plan, find_plan, read_engine, write_plan  # noqa: E402
from mfm_edge.errors import ModelError  # noqa: E402


def all_f16(model: Model) -> Model:
    parts = {}
    for part, content in model.parts.items():
        proto = onnx.load_from_string(content)
        nodes = [node for names in layers_of(proto, F16_OPERATORS).values() for node in names]
        parts[part] = to_f16(proto, nodes).SerializeToString()
    return Model(parts, model.model_id)


@pytest.mark.slow
def test_engines_are_built_without_a_gpu_and_described(tmp_path, capsys):
    trt = pytest.importorskip("tensorrt_rtx", reason="needs the extra: trt")
    assert main(["--out", str(tmp_path)]) == 1  # the shipped model has no f16, which SM75 takes
    assert "export.quantise" in capsys.readouterr().err
    model = read_model()
    wanted = {"flavour": "tensorrt_rtx", "version": trt.__version__, "model_id": model.model_id, "precision": "f32"}
    plan = find_plan(tmp_path, target=86, **wanted)
    assert plan.targets == (80, 86, 89, 120) and plan.batch == 8
    assert plan.onnx_sha256 == hashlib.sha256(fuse(model).SerializeToString()).hexdigest()
    assert plan.inputs["crop"] == {"dtype": "float32", "shape": [-1, 3, 128, 128]}
    shapes = {"face": [-1, 3, 128, 128], "evidence": [-1, 1467]}
    assert plan.outputs == {name: {"dtype": "float32", "shape": shape} for name, shape in shapes.items()}
    assert len(read_engine(tmp_path, plan)) > 1_000_000


@pytest.mark.slow
def test_sm75_takes_f16_and_says_why_not_f32():
    pytest.importorskip("tensorrt_rtx", reason="needs the extra: trt")
    with pytest.raises(ModelError, match="SM75: .*FP32 GEMM is not supported"):
        build(read_model(), flavour="tensorrt_rtx", precision="f32", targets=[75])
    plan, engine = build(all_f16(read_model()), flavour="tensorrt_rtx", precision="f16", targets=[75])
    assert plan.name.endswith("-f16-tensorrt_rtx-sm75") and len(engine) > 1_000_000


class FakeBuilder:
    """The classic TensorRT, as far as the build goes: its engine names what it was built from."""

    refuses = ""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << 3
        shapes = {"crop": (-1, 3, 128, 128), "order": (-1, 10)}
        self.network = SimpleNamespace(inputs=[SimpleNamespace(name=n, shape=s, dtype="f") for n, s in shapes.items()])
        network = self.network
        network.num_inputs, network.get_input = 2, lambda index: network.inputs[index]
        face = SimpleNamespace(name="face", shape=(-1, 3, 128, 128), dtype="f")
        network.num_outputs, network.get_output = 1, lambda _index: face
        return network

    def create_optimization_profile(self) -> Any:
        ranges: dict[str, Any] = {}
        return SimpleNamespace(ranges=ranges, set_shape=lambda name, *shapes: ranges.update({name: shapes}))

    def create_builder_config(self) -> Any:
        config = SimpleNamespace(profiles=[], cache=None)
        config.add_optimization_profile = config.profiles.append
        config.create_timing_cache = lambda known: SimpleNamespace(serialize=lambda: known + b" timed")
        config.set_timing_cache = lambda cache, ignore_mismatch: setattr(config, "cache", cache)
        config.get_timing_cache = lambda: config.cache
        return config

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        assert config.profiles[0].ranges["crop"] == ((1, 3, 128, 128), (1, 3, 128, 128), (8, 3, 128, 128))
        if self.refuses:
            self.logger.log("error", self.refuses)
            return None
        return b"engine"


class FakeParser:
    num_errors = 1

    def __init__(self, network: Any, logger: Any) -> None:
        return

    def parse(self, content: bytes) -> bool:
        return onnx.load_from_string(content).graph.name == "mfm"

    def get_error(self, _index: int) -> Any:
        return SimpleNamespace(desc=lambda: "no such operator")


class FakeILogger:
    Severity = SimpleNamespace(ERROR="error", INTERNAL_ERROR="internal")

    def __init__(self) -> None:
        return


@pytest.fixture
def classic(monkeypatch):
    module = ModuleType("tensorrt")
    module.__version__ = "10.13.0"
    module.Builder, module.OnnxParser, module.ILogger = FakeBuilder, FakeParser, FakeILogger
    module.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=3)
    module.nptype = lambda _dtype: np.float32
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def test_the_classic_builder_keeps_its_timing_cache(classic, tmp_path):
    cache = tmp_path / "timing"
    for expected in (b" timed", b" timed timed"):
        plan, engine = build(read_model(), flavour="tensorrt", precision="f32", targets=[89], timing_cache=cache)
        assert cache.read_bytes() == expected
    assert engine == b"engine" and plan.targets == (89,) and plan.version == "10.13.0"
    assert plan.inputs == {name: {"dtype": "float32", "shape": list(shape)} for name, shape in
                           {"crop": (-1, 3, 128, 128), "order": (-1, 10)}.items()}  # fmt: skip


def test_why_it_refuses_is_said(classic, monkeypatch):
    monkeypatch.setattr(FakeBuilder, "refuses", "out of tactics")
    with pytest.raises(ModelError, match=r"tensorrt cannot build for SM89: out of tactics"):
        build(read_model(), flavour="tensorrt", precision="f32", targets=[89])
    monkeypatch.setattr(FakeParser, "parse", lambda _self, _content: False)
    with pytest.raises(ModelError, match="cannot read the graph: no such operator"):
        build(read_model(), flavour="tensorrt", precision="f32", targets=[89])
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ModelError, match="cannot import tensorrt"):
        build(read_model(), flavour="tensorrt", precision="f32", targets=[89])


def test_a_description_is_plain_json(tmp_path, classic):
    plan, engine = build(read_model(), flavour="tensorrt", precision="f32", targets=[89])
    path = write_plan(tmp_path, plan, engine).with_suffix(".json")
    content = json.loads(path.read_text())
    assert content.pop("format") == 1
    assert Plan(**content | {"targets": tuple(content["targets"])}) == plan
