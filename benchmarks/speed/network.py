"""The whole network by runtime, precision, faces at once and threads; and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import shape_inference

from benchmarks.speed.timing import Timing, take_turns
from export.verify import demo_crops
from mfm_edge.engine.choose import open_engine
from mfm_edge.engine.folder import PARTS, SHIPPED_MODEL, read_model
from mfm_edge.errors import ModelError
from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import expand

__all__ = ["count_flops", "time_network"]

CONTESTANTS = {
    "ONNX Runtime f32": ("CPU", "f32"),
    "ONNX Runtime int8": ("CPU", "int8"),
    "OpenVINO f32": ("OpenVINO", "f32"),
    "OpenVINO bf16": ("OpenVINO", "bf16"),
    "OpenVINO int8": ("OpenVINO", "int8"),
}


def time_network(
    batch: int, threads: int, rounds: int, folder: Path | None = None
) -> tuple[dict[str, Timing], list[str]]:
    """ms for `batch` faces there, by contestant; and who is left out, and why. folder: the shipped model when None."""
    crops, trust = demo_crops(batch), folder is not None
    keys = [expand(bytes(32), np.zeros(len(ATTRIBUTES), np.float32))] * batch
    contestants: dict[str, Callable[[], object]] = {}
    left_out = []
    for name, (provider, precision) in CONTESTANTS.items():
        try:
            engine = open_engine(
                folder, providers=[provider], threads=threads, precision=precision, trust_unknown_model=trust
            )
        except ModelError as error:
            # Results are published: where the package lies on this machine is nobody's business.
            left_out.append(f"{name}: {error}".replace(f"{SHIPPED_MODEL}/", ""))
        else:
            contestants[name] = lambda engine=engine: engine.modify(crops, keys)
    return take_turns(contestants, rounds=rounds), left_out


def count_flops(folder: Path | None = None) -> int:
    """Of the products that one face takes in the network at most, restored, that is: two for each multiplication and
    addition."""
    parts = read_model(folder).parts
    return sum(_products(parts[part]) for part in PARTS)


def _products(content: bytes) -> int:
    model = onnx.load_from_string(content)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]  # made for any batch
    _bring_constants_in(model.graph)
    return _products_in(shape_inference.infer_shapes(model, data_prop=True).graph, {})


def _bring_constants_in(graph: onnx.GraphProto) -> None:
    """What shapes are made of, into the branches that use it: inference does not look for it outside them."""
    constants = {item.name: item for item in graph.initializer if item.data_type == onnx.TensorProto.INT64}
    for branch in [item.g for node in graph.node if node.op_type == "If" for item in node.attribute]:
        used = {name for node in branch.node for name in node.input}
        branch.initializer.extend(constants[name] for name in sorted(used & constants.keys()))


def _products_in(graph: onnx.GraphProto, outside: dict[str, list[int]]) -> int:
    """outside: shapes of what the graph around this one has."""
    shapes = outside | {item.name: list(item.dims) for item in graph.initializer}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    count = 0
    for node in graph.node:
        if node.op_type == "Conv":
            count += 2 * prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            turned = any(item.name == "transA" and item.i for item in node.attribute)
            count += 2 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if turned else -1]
        elif node.op_type == "If":
            count += max(_products_in(item.g, shapes) for item in node.attribute)
    return count
