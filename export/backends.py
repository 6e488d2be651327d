"""The ways of running a model's three parts that export.verify holds against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from export.fuse import fuse
from mfm_edge.engine.folder import Precision as ModelPrecision
from mfm_edge.engine.folder import read_model
from mfm_edge.engine.fused import RunWhole
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.engine.openvino import OpenVinoEngine
from mfm_edge.engine.steps import RunPart
from mfm_edge.errors import ModelError
from mfm_edge.native import CUSTOM_OPS_LIBRARY

__all__ = [
    "Backend",
    "Precision",
    "from_parts",
    "one_graph",
    "onnx_reference",
    "onnx_runtime",
    "onnx_runtime_as_it_is",
    "openvino",
    "pytorch",
]

Precision = Literal["f32", "bf16", "f16", "int8", "int8-symmetric"]
_CPU = ["CPUExecutionProvider"]


@dataclass(frozen=True, slots=True)
class Backend:
    """name: as the table shows it. precision: of its least exact step. run: see RunPart. slow: takes seconds a crop.
    whole: runs all parts at once, so they cannot be compared one by one."""

    name: str
    precision: Precision
    run: RunPart
    slow: bool = False
    whole: bool = False


def pytorch(run: Path) -> tuple[Backend, int]:
    """The averaged network of a training run, and after how many steps. Raises what load_run raises."""
    import torch  # only here: the other backends are compared without it

    from export.parts import example_inputs, split
    from export.to_onnx import load_run

    found = load_run(run)
    modules = split(found.network)

    @torch.no_grad()
    def run_part(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        outputs = modules[part](*(torch.tensor(inputs[name]) for name in example_inputs(part, 1)))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return Backend("torch", "f32", run_part), found.steps


def onnx_reference(folder: Path) -> Backend:
    """The interpreter in numpy that defines what ONNX's operators mean."""
    graphs = {
        part: ReferenceEvaluator(onnx.load_from_string(content), new_ops=[GatherElements])
        for part, content in read_model(folder).parts.items()
    }
    return Backend("onnx.reference", "f32", _runner(graphs), slow=True)


def onnx_runtime_as_it_is(folder: Path) -> Backend:
    """ONNX Runtime without graph optimisations: it runs the file as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return Backend("ONNX Runtime, not optimised", "f32", from_parts(read_model(folder).parts, options))


def onnx_runtime(folder: Path, precision: ModelPrecision = "f32") -> Backend:
    """ONNX Runtime as the SDK uses it. Raises ModelError where the folder has no such variant."""
    engine = OnnxEngine(folder, precision=precision, trust_unknown_model=True)
    return Backend("ONNX Runtime" if precision == "f32" else f"ONNX Runtime {precision}", precision, engine.run_part)


def one_graph(folder: Path, *, kernel: bool = False) -> Backend:
    """The graph of export.fuse in ONNX Runtime, which takes mfm.RepeatAdd apart; kernel: which calls cpp_ext's for it.

    Raises ModelError for the kernel where it was not built.
    """
    options = onnxruntime.SessionOptions()
    if kernel:
        if CUSTOM_OPS_LIBRARY is None:
            raise ModelError("kernel: the native extension, which has it, was not built")
        options.register_custom_ops_library(CUSTOM_OPS_LIBRARY)
    session = onnxruntime.InferenceSession(fuse(read_model(folder)).SerializeToString(), options, providers=_CPU)

    def run_graph(inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        outputs = session.run(None, {name: np.ascontiguousarray(value) for name, value in inputs.items()})
        return {value.name: output for value, output in zip(session.get_outputs(), outputs, strict=True)}

    name = "ONNX Runtime, one graph"
    return Backend(f"{name}, own kernel" if kernel else name, "f32", RunWhole(run_graph), whole=True)


def from_parts(parts: Mapping[str, bytes], options: onnxruntime.SessionOptions | None = None) -> RunPart:
    """ONNX Runtime on the CPU with the parts' files as they are given, all or some of them."""
    return _runner(
        {part: onnxruntime.InferenceSession(content, options, providers=_CPU) for part, content in parts.items()}
    )


def openvino(folder: Path, precision: Precision) -> Backend:
    """OpenVINO as the SDK uses it. Raises ModelError where it, or the precision, is missing."""
    engine = OpenVinoEngine(folder, precision=precision, trust_unknown_model=True)
    return Backend(f"OpenVINO {precision}", precision, engine.run_part)


def _runner(graphs: dict[str, Any]) -> RunPart:
    """For all graphs with a method run(None, inputs)."""

    def run_part(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = graphs[part].run(
            None, {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        )
        return outputs

    return run_part


class GatherElements(OpRun):  # found by this name
    """onnx's own cannot gather among more than 64 elements."""

    op_domain = ""

    def _run(self, data: NDArray[Any], indices: NDArray[np.int64], axis: int = 0) -> tuple[NDArray[Any]]:
        return (np.take_along_axis(data, indices, axis),)
