"""Small networks beside the large one: an ONNX file, and a card by which the runtime knows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from export.to_onnx import TOLERANCE, relative_difference, write_graph

__all__ = ["export_small"]


def export_small(
    network: nn.Module, side: int, outputs: Sequence[str], path: Path, part: str, card: Mapping[str, str]
) -> float:
    """Writes the file of a network that looks at "face" (N, 3, side, side), -1..1, and the card beside it, which gets
    the file's sha256. Weights that float16 holds exactly take half the space; what computes with them is float32.
    Returns the largest relative difference between torch and ONNX Runtime.

    Raises RuntimeError when it exceeds TOLERANCE, and leaves no card then.
    """
    network = network.eval()
    described = path.with_suffix(".json")
    described.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(network, {"face": torch.zeros(2, 3, side, side)}, outputs, path, {"part": part})
    _halve(path)
    difference = _difference(network, side, outputs, path)
    if difference > TOLERANCE:
        raise RuntimeError(f"torch and ONNX Runtime differ by {difference:.2g}, allowed {TOLERANCE}")
    name, task, *rest = card.items()
    content = dict([name, task, ("sha256", hashlib.sha256(path.read_bytes()).hexdigest()), *rest])
    described.write_text(json.dumps(content, indent=1) + "\n")
    return difference


@torch.no_grad()
def _difference(network: nn.Module, side: int, outputs: Sequence[str], path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = network(x)
    found = session.run(list(outputs), {"face": x.numpy()})
    pairs = zip(expected if isinstance(expected, tuple) else (expected,), found, strict=True)
    return max(relative_difference(here.numpy(), there) for here, there in pairs)


def _halve(path: Path) -> None:
    """Stores weights as float16 where nothing is lost, and has them cast back when the file is opened."""
    proto = onnx.load(path)
    wide: dict[str, str] = {}
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.dtype == np.float32 and np.array_equal(half, values):
            weight.CopyFrom(numpy_helper.from_array(half, weight.name))
            wide[weight.name] = f"{weight.name}.float32"
    nodes = [onnx.helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT) for name, cast in wide.items()]
    for node in proto.graph.node:
        node.input[:] = [wide.get(name, name) for name in node.input]
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())
