"""python -m export.fuse --out FILE: a model's three parts as one graph, from crop and key to face and evidence.

Between the parts stands mfm.RepeatAdd, an ONNX function that the file brings along (Reshape and Add): a runtime
without a kernel for it takes it apart, one with a kernel calls that. What `mfm_edge.engine.steps` does around the graph
is the caller's: pixels to floats and back, and the headroom of surrogates. Needs no torch: the parts are joined as they
were exported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from onnx.compose import add_prefix
from onnx.helper import make_function, make_graph, make_model, make_node, make_opsetid, set_model_props

from export.conditional import compute_always
from mfm_edge.engine.folder import PARTS, SHIPPED_MODEL, Model, read_model
from mfm_edge.style import PLANE

__all__ = ["DOMAIN", "fuse", "main", "repeat_add_nodes"]

DOMAIN = "mfm"


def fuse(model: Model) -> onnx.ModelProto:
    """One graph of the three parts: their inputs except the latents -> face and evidence, any batch.

    An input that several parts take by one name is one input. Raises ValueError when outputs and inputs do not fit.
    """
    protos = {part: compute_always(onnx.load_from_string(model.parts[part])) for part in PARTS}
    opset = protos["decoder"].opset_import[0].version
    graphs = {
        part: add_prefix(proto, f"{part}/", rename_inputs=False, rename_outputs=False).graph
        for part, proto in protos.items()
    }
    (latent,) = (value.name for value in graphs["content_encoder"].output)
    codes = [value.name for value in graphs["style_encoder"].output]
    joints = [
        make_node("RepeatAdd", [latent, name], [name.replace("style", "latent")], domain=DOMAIN)
        for name in codes
        if name.startswith("style")
    ]
    joined = {name for node in joints for name in node.output}
    inputs = {value.name: value for graph in graphs.values() for value in graph.input}
    if not joined or not joined <= inputs.keys():
        raise ValueError(f"decoder: takes {', '.join(inputs)}, which does not fit the latents {', '.join(joined)}")
    before = [graphs[part] for part in PARTS if part != "decoder"]
    nodes = [node for graph in before for node in graph.node] + joints + list(graphs["decoder"].node)
    graph = make_graph(
        nodes,
        "mfm",
        [value for name, value in inputs.items() if name not in joined and name not in codes],
        list(graphs["decoder"].output),
        [item for graph in graphs.values() for item in graph.initializer],
    )
    fused = make_model(
        graph,
        functions=[_repeat_add(opset)],
        opset_imports=[make_opsetid("", opset), make_opsetid(DOMAIN, 1)],
        ir_version=max(proto.ir_version for proto in protos.values()),
    )
    origin = {item.key: item.value for item in protos["decoder"].metadata_props}
    set_model_props(fused, origin | {"part": "all", "model_id": model.model_id})
    onnx.checker.check_model(fused)
    return fused


def _repeat_add(opset: int) -> onnx.FunctionProto:
    nodes = repeat_add_nodes()
    return make_function(DOMAIN, "RepeatAdd", ["content", "style"], ["out"], nodes, [make_opsetid("", opset)])


def repeat_add_nodes() -> list[onnx.NodeProto]:
    """content (N, C, 32, 32), style (N, 1024) -> out: content + style, repeated over the channels."""
    return [
        make_node("Constant", [], ["shape"], value_ints=[0, 1, PLANE, PLANE]),
        make_node("Reshape", ["style", "shape"], ["plane"]),
        make_node("Add", ["content", "plane"], ["out"]),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.fuse", description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder (default: the shipped model)")
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    args = parser.parse_args(argv)
    args.out.write_bytes(fuse(read_model(args.model)).SerializeToString())
    print(args.out)


if __name__ == "__main__":
    main()
