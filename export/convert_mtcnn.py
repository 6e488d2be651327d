"""python -m export.convert_mtcnn --wheel FILE: the three networks of MTCNN -> the ONNX files that the SDK ships.

The wheel is facenet_pytorch-2.6.0 (`pip download --no-deps facenet-pytorch==2.6.0`). Only its weight files are read, so
neither the package nor torchvision is needed. The graphs are written out layer by layer.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from mfm_edge.detect.mtcnn import SHIPPED_MTCNN

__all__ = ["SOURCES", "convert", "main"]

SOURCES = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
"""sha256 of the weight files in the wheel."""

# Layers in order: (kind, name, argument). Heads hang on the last layer: (kind, name, output, softmax).
Layer = tuple[str, str, tuple[int, int]]
Head = tuple[str, str, str, bool]
_NETWORKS: dict[str, tuple[list[Layer], list[Head]]] = {
    "pnet": (
        [
            ("conv", "conv1", (3, 1)),
            ("prelu", "prelu1", (3, 0)),
            ("pool", "pool1", (2, 2)),
            ("conv", "conv2", (3, 1)),
            ("prelu", "prelu2", (3, 0)),
            ("conv", "conv3", (3, 1)),
            ("prelu", "prelu3", (3, 0)),
        ],
        [("conv", "conv4_1", "score", True), ("conv", "conv4_2", "shift", False)],
    ),
    "rnet": (
        [
            ("conv", "conv1", (3, 1)),
            ("prelu", "prelu1", (3, 0)),
            ("pool", "pool1", (3, 2)),
            ("conv", "conv2", (3, 1)),
            ("prelu", "prelu2", (3, 0)),
            ("pool", "pool2", (3, 2)),
            ("conv", "conv3", (2, 1)),
            ("prelu", "prelu3", (3, 0)),
            ("dense", "dense4", (0, 0)),
            ("prelu", "prelu4", (1, 0)),
        ],
        [("gemm", "dense5_1", "score", True), ("gemm", "dense5_2", "shift", False)],
    ),
    "onet": (
        [
            ("conv", "conv1", (3, 1)),
            ("prelu", "prelu1", (3, 0)),
            ("pool", "pool1", (3, 2)),
            ("conv", "conv2", (3, 1)),
            ("prelu", "prelu2", (3, 0)),
            ("pool", "pool2", (3, 2)),
            ("conv", "conv3", (3, 1)),
            ("prelu", "prelu3", (3, 0)),
            ("pool", "pool3", (2, 2)),
            ("conv", "conv4", (2, 1)),
            ("prelu", "prelu4", (3, 0)),
            ("dense", "dense5", (0, 0)),
            ("prelu", "prelu5", (1, 0)),
        ],
        [
            ("gemm", "dense6_1", "score", True),
            ("gemm", "dense6_2", "shift", False),
            ("gemm", "dense6_3", "points", False),
        ],
    ),
}
_SIDES: dict[str, int | str] = {"pnet": "side", "rnet": 24, "onet": 48}


def convert(name: str, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The network `name` with weights by their names in the source: "input" (N, 3, H, W) -> score, shift[, points]."""
    layers, heads = _NETWORKS[name]
    nodes, constants, used = [], {}, set[str]()

    def weight(key: str, shape: tuple[int, ...] | None = None) -> str:
        used.add(key)
        constants[key] = weights[key] if shape is None else weights[key].reshape(shape)
        return key

    at = "input"
    for kind, layer, (size, stride) in layers:
        if kind == "conv":
            nodes.append(make_node("Conv", [at, weight(f"{layer}.weight"), weight(f"{layer}.bias")], [layer]))
        elif kind == "pool":
            steps = [stride, stride]
            nodes.append(make_node("MaxPool", [at], [layer], kernel_shape=[size, size], strides=steps, ceil_mode=1))
        elif kind == "prelu":
            # A slope a channel, in the shape that broadcasts against (N, C, H, W) or (N, C).
            slope = weight(f"{layer}.weight", (-1, 1, 1) if size == 3 else (-1,))
            nodes.append(make_node("PRelu", [at, slope], [layer]))
        else:  # dense: the original flattens column by column
            nodes.append(make_node("Transpose", [at], [f"{layer}_turned"], perm=[0, 3, 2, 1]))
            nodes.append(make_node("Flatten", [f"{layer}_turned"], [f"{layer}_flat"]))
            parts = [f"{layer}_flat", weight(f"{layer}.weight"), weight(f"{layer}.bias")]
            nodes.append(make_node("Gemm", parts, [layer], transB=1))
        at = layer
    for kind, layer, output, softmax in heads:
        result = f"{output}_raw" if softmax else output
        parts = [at, weight(f"{layer}.weight"), weight(f"{layer}.bias")]
        nodes.append(
            make_node("Conv", parts, [result]) if kind == "conv" else make_node("Gemm", parts, [result], transB=1)
        )
        if softmax:
            nodes.append(make_node("Softmax", [result], [output], axis=1))
    if used != set(weights):
        raise ValueError(f"{name}: the source has other weights: {sorted(used ^ set(weights))}")

    side = _SIDES[name]
    ends = ["rows", "columns"] if name == "pnet" else []
    channels = {"score": 2, "shift": 4, "points": 10}
    shape: list[int | str | None] = ["batch", 3, "height", "width"] if name == "pnet" else ["batch", 3, side, side]
    graph = make_graph(
        nodes,
        f"mtcnn_{name}",
        [make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)],
        [make_tensor_value_info(o, onnx.TensorProto.FLOAT, ["batch", channels[o], *ends]) for _, _, o, _ in heads],
        [numpy_helper.from_array(np.ascontiguousarray(value), key) for key, value in constants.items()],
    )
    model = make_model(graph, opset_imports=[make_opsetid("", 13)], ir_version=8, producer_name="export.convert_mtcnn")
    onnx.checker.check_model(model, full_check=True)
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.convert_mtcnn", description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="facenet_pytorch-2.6.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=SHIPPED_MTCNN, help="folder to write to (default: the shipped one)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(args.wheel) as wheel:
        for name, expected in SOURCES.items():
            content = wheel.read(f"facenet_pytorch/data/{name}.pt")
            digest = hashlib.sha256(content).hexdigest()
            if digest != expected:
                parser.error(f"--wheel: its {name}.pt has sha256 {digest}, takes {expected}")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            result = convert(name, {key: value.numpy() for key, value in state.items()}).SerializeToString(
                deterministic=True
            )
            path = args.out / f"mtcnn_{name}.onnx"
            path.write_bytes(result)
            card = {
                "name": f"MTCNN {name}",
                "task": "face detection with five landmarks, one of three stages",
                "sha256": hashlib.sha256(result).hexdigest(),
                "input": "(N, 3, H, W) float32 RGB, (value - 127.5) / 128",
                "source": f"PyPI facenet-pytorch 2.6.0, data/{name}.pt",
                "source_sha256": expected,
                "made_by": "python -m export.convert_mtcnn",
                "licence": "MIT, see mtcnn_LICENSE.txt",
            }
            path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
            print(f"{path}: {len(result)} bytes, sha256 {card['sha256']}")
        licence = wheel.read("facenet_pytorch-2.6.0.dist-info/LICENSE.md")
        (args.out / "mtcnn_LICENSE.txt").write_bytes(licence)


if __name__ == "__main__":
    main()
