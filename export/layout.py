"""The same graph in operators that ONNX Runtime's CPU kernels take less time for. Other runtimes lose nothing by it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.graph import shapes_of

__all__ = ["lay_out"]


def lay_out(proto: onnx.ModelProto) -> None:
    """Changes the graph in place; what it computes stays the same to the bit or, where sums are fused, to rounding."""
    _copy_for_pixel_shuffle(proto)
    _begin_residuals_in_blocks(proto)


def _begin_residuals_in_blocks(proto: onnx.ModelProto) -> None:
    """A pool of one pixel at the beginning of each chain of residual blocks.

    ONNX Runtime convolves in blocks of channels. A residual is added by the convolution itself as long as both are in
    blocks, but what a chain begins with is not, so that the whole chain is put into blocks and back again for every
    sum: 5 % of the decoder's time. A pool brings its input into blocks and does nothing else.
    """
    graph = proto.graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    sums = [node for node in graph.node if node.op_type == "Add"]
    begun = {
        name
        for node in sums
        if "Conv" in (made := [makers.get(name) for name in node.input])
        for name, maker in zip(node.input, made, strict=True)
        if maker not in ("Conv", "Add")
    }
    begun &= {name for node in graph.node if node.op_type == "Conv" for name in node.input[:1]}  # no constants
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in begun:
                node.input[index] = f"{name}_blocked"
    nodes = []
    for node in graph.node:
        nodes.append(node)
        nodes += [
            helper.make_node("MaxPool", [name], [f"{name}_blocked"], f"{name}_into_blocks", kernel_shape=[1, 1])
            for name in node.output
            if name in begun
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _copy_for_pixel_shuffle(proto: onnx.ModelProto) -> None:
    """Two transpositions in place of each DepthToSpace of 2: one moves single numbers, one whole rows. ONNX Runtime has
    quick copies for both, and none for all at once, which takes 6 % of the decoder's time."""
    graph, shapes = proto.graph, shapes_of(proto)
    nodes = []
    for node in graph.node:
        if node.op_type != "DepthToSpace":
            nodes.append(node)
            continue
        assert {field.name: helper.get_attribute_value(field) for field in node.attribute} == {
            "blocksize": 2,
            "mode": b"CRD",
        }
        (out,) = node.output
        channels, height, width = shapes[out][1:]
        rows, columns = height // 2, width // 2

        def reshape(source: str, target: str, *shape: int) -> onnx.NodeProto:
            constant = numpy_helper.from_array(np.array([-1, *shape], np.int64), f"{target}_shape")
            graph.initializer.append(constant)
            return helper.make_node("Reshape", [source, constant.name], [target], f"{target}_reshape")

        def transpose(source: str, target: str, *order: int) -> onnx.NodeProto:
            return helper.make_node("Transpose", [source], [target], f"{target}_transpose", perm=order)

        steps = [f"{out}_{step}" for step in ("apart", "columns", "rows", "rows_between")]
        nodes += [
            reshape(node.input[0], steps[0], channels, 2, 2, rows * columns),
            transpose(steps[0], steps[1], 0, 1, 2, 4, 3),
            reshape(steps[1], steps[2], channels, 2, rows, width),
            transpose(steps[2], steps[3], 0, 1, 3, 2, 4),
            reshape(steps[3], out, channels, height, width),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
