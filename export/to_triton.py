"""python -m export.to_triton --out FOLDER: a model repository for NVIDIA's Triton Inference Server.

For those who serve many cameras from one machine: the three parts and the repeat-and-add as models of their own, and
the ensemble `mfm` of them, from crop and key to face and evidence, which batches what comes in at the same time. A
client does what `mfm_edge.engine.steps` does around the graphs: pixels to floats and back, and the headroom of
surrogates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info

from export.fuse import repeat_add_nodes
from mfm_edge.engine import GPU_BATCH
from mfm_edge.engine.folder import PARTS, SHIPPED_MODEL, Model, Precision, read_model
from mfm_edge.style import PLANE, STYLE_SIZE

__all__ = ["configurations", "main", "repeat_add_graph", "to_text", "write"]

ENSEMBLE, REPEAT_ADD = "mfm", "repeat_add"
_TYPES: dict[int, str] = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.INT64: "TYPE_INT64"}

Message = Mapping[str, Any]
"""A configuration: strings, numbers, messages and sequences of them. Words in capitals are enumerations' names."""


def repeat_add_graph(channels: int) -> onnx.ModelProto:
    """content (N, channels, 32, 32), style (N, 1024) -> out, which Triton needs as a model of its own."""
    shapes = {"content": (channels, PLANE, PLANE), "style": (STYLE_SIZE,), "out": (channels, PLANE, PLANE)}
    values = {
        name: make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in shapes.items()
    }
    graph = make_graph(repeat_add_nodes(), REPEAT_ADD, [values["content"], values["style"]], [values["out"]])
    return make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10)


def configurations(graphs: Mapping[str, onnx.ModelProto]) -> dict[str, Message]:
    """Each model's configuration by name, from the graphs of the three parts and of the repeat-and-add."""
    found: dict[str, Message] = {
        name: {"name": name, "backend": "onnxruntime", **_signature(proto), "dynamic_batching": {}}
        for name, proto in graphs.items()
    }
    return found | {ENSEMBLE: _ensemble(found)}


def _signature(proto: onnx.ModelProto) -> dict[str, Any]:
    return {
        "max_batch_size": GPU_BATCH,
        "input": [_tensor(value) for value in proto.graph.input],
        "output": [_tensor(value) for value in proto.graph.output],
    }


def _tensor(value: onnx.ValueInfoProto) -> Message:
    kind = value.type.tensor_type
    return {
        "name": value.name,
        "data_type": _TYPES[kind.elem_type],
        "dims": [dim.dim_value for dim in kind.shape.dim[1:]],
    }


def _ensemble(models: Mapping[str, Message]) -> Message:
    """Tensors of equal names are one tensor; the repeat-and-add makes each latent_X of a style_X."""
    steps = [_step(name, models[name], {}) for name in PARTS if name != "decoder"]
    (latent,) = (tensor["name"] for tensor in models["content_encoder"]["output"])
    codes = [tensor["name"] for tensor in models["style_encoder"]["output"]]
    for style in (name for name in codes if name.startswith("style")):
        names = {"content": latent, "style": style, "out": style.replace("style", "latent")}
        steps.append(_step(REPEAT_ADD, models[REPEAT_ADD], names))
    steps.append(_step("decoder", models["decoder"], {}))
    made = {name for step in steps for name in step["output_map"].values()}
    given = {tensor["name"]: tensor for part in PARTS for tensor in models[part]["input"] if tensor["name"] not in made}
    return {
        "name": ENSEMBLE,
        "platform": "ensemble",
        "max_batch_size": GPU_BATCH,
        "input": list(given.values()),
        "output": models["decoder"]["output"],
        "ensemble_scheduling": {"step": steps},
    }


def _step(name: str, model: Message, names: Mapping[str, str]) -> dict[str, Any]:
    def mapped(tensors: Sequence[Message]) -> dict[str, str]:
        return {tensor["name"]: names.get(tensor["name"], tensor["name"]) for tensor in tensors}

    return {
        "model_name": name,
        "model_version": -1,
        "input_map": mapped(model["input"]),
        "output_map": mapped(model["output"]),
    }


def to_text(message: Message, indent: str = "") -> str:
    """In protobuf's text format, as config.pbtxt has it."""
    lines = []
    for name, value in message.items():
        if name in ("input_map", "output_map"):
            lines += [f'{indent}{name} {{ key: "{key}" value: "{to}" }}' for key, to in value.items()]
        elif isinstance(value, Mapping):
            lines.append(f"{indent}{name} {{\n{to_text(value, indent + '  ')}{indent}}}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{indent}{name} {{\n{to_text(one, indent + '  ')}{indent}}}" for one in value]
        elif isinstance(value, str) and not value.isupper():
            lines.append(f'{indent}{name}: "{value}"')
        else:
            lines.append(f"{indent}{name}: {value}")
    return "".join(f"{line}\n" for line in lines)


def write(model: Model, folder: Path) -> None:
    """The repository: NAME/config.pbtxt and NAME/1/model.onnx for each model."""
    graphs = {part: onnx.load_from_string(content) for part, content in model.parts.items()}
    (latent,) = graphs["content_encoder"].graph.output
    graphs[REPEAT_ADD] = repeat_add_graph(latent.type.tensor_type.shape.dim[1].dim_value)
    for name, message in configurations(graphs).items():
        version = folder / name / "1"  # an ensemble has one too, empty
        version.mkdir(parents=True, exist_ok=True)
        (folder / name / "config.pbtxt").write_text(to_text(message))
        if name in graphs:
            (version / "model.onnx").write_bytes(graphs[name].SerializeToString())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.to_triton", description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder (default: the shipped model)")
    parser.add_argument("--out", type=Path, required=True, help="repository to write")
    parser.add_argument("--precision", choices=("f32", "f16", "int8"), default="f32", help="see export.quantise")
    args = parser.parse_args(argv)
    precision: Precision = args.precision
    write(read_model(args.model, precision), args.out)
    print(args.out)


if __name__ == "__main__":
    main()
