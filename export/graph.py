"""What rewriting an ONNX graph needs to know of it, and leaves to tidy up."""

from __future__ import annotations

import onnx

__all__ = ["drop_unused", "shapes_of"]


def shapes_of(proto: onnx.ModelProto) -> dict[str, list[int]]:
    """By name; 0 for the batch."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    return {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }


def drop_unused(graph: onnx.GraphProto) -> None:
    """Takes out, in place, nodes and constants that nothing in a graph without branches takes."""
    wanted = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted |= set(node.input)
    kept = [item for item in graph.initializer if item.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(kept)
