"""What a graph computes for nobody: left out where a whole batch does without it."""

from __future__ import annotations

import copy

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_node, make_tensor_value_info

from export.graph import drop_unused, shapes_of

__all__ = ["compute_always", "leave_out"]


def leave_out(proto: ModelProto) -> None:
    """Changes the graph in place: an If around what is computed only to be replaced by 0 where a face's condition
    holds, as the last touch is for surrogates. Where it holds for all faces of a batch, none of that is computed: a
    twelfth of the time that surrogates take on a CPU."""
    graph = proto.graph
    zeros = {item.name for item in graph.initializer if not item.dims and not numpy_helper.to_array(item)}
    ends = [node for node in graph.node if node.op_type == "Where" and node.input[1] in zeros]
    for condition in dict.fromkeys(node.input[0] for node in ends):
        _leave_out(proto, condition, [node for node in ends if node.input[0] == condition])


def compute_always(proto: ModelProto) -> ModelProto:
    """A copy without what `leave_out` did: for runtimes that wait for a condition longer than they compute, and for who
    looks for layers."""
    plain = copy.deepcopy(proto)
    del plain.graph.node[:]
    for node in proto.graph.node:
        branches = {field.name: field.g for field in node.attribute}
        plain.graph.node.extend(branches["else_branch"].node if node.op_type == "If" else [node])
    drop_unused(plain.graph)
    return plain


def _leave_out(proto: ModelProto, condition: str, ends: list[NodeProto]) -> None:
    graph = proto.graph
    inner = _only_for(graph, ends)
    if "Conv" not in {node.op_type for node in inner}:
        return  # an If costs something, too
    made = {name for node in inner for name in node.output}
    taken = [name for name in dict.fromkeys(node.input[2] for node in ends) if name in made]
    batch, numbers, least, everywhere = (f"{condition}_{step}" for step in ("batch", "numbers", "least", "everywhere"))
    nothing, shapes = [make_node("Shape", [condition], [batch], batch, end=1)], shapes_of(proto)
    for name in taken:
        rest = numpy_helper.from_array(np.array(shapes[name][1:], np.int64), f"{name}_rest")
        graph.initializer.append(rest)
        nothing += [
            make_node("Concat", [batch, rest.name], [f"{name}_shape"], f"{name}_shape", axis=0),
            make_node("ConstantOfShape", [f"{name}_shape"], [f"{name}_left_out"], f"{name}_left_out"),
        ]
    gate = [
        make_node("Cast", [condition], [numbers], numbers, to=TensorProto.FLOAT),
        make_node("ReduceMin", [numbers], [least], least, keepdims=0),
        make_node("Cast", [least], [everywhere], everywhere, to=TensorProto.BOOL),
        make_node(
            "If",
            [everywhere],
            taken,
            f"{condition}_if",
            then_branch=_branch("left out", nothing, [f"{name}_left_out" for name in taken]),
            else_branch=_branch("computed", inner, taken),
        ),
    ]
    first = next(node.output[0] for node in ends if node.input[2] in taken)
    nodes = []
    for node in graph.node:
        nodes += gate if first in node.output else []
        nodes += [node] if made.isdisjoint(node.output) else []
    del graph.node[:]
    graph.node.extend(nodes)


def _only_for(graph: GraphProto, ends: list[NodeProto]) -> list[NodeProto]:
    """The nodes, in order, whose results go nowhere but into the third input of `ends`."""
    users: dict[str, set[tuple[int, int]]] = {}
    for place, node in enumerate(graph.node):
        for index, name in enumerate(node.input):
            users.setdefault(name, set()).add((place, index))
    wanted = {value.name for value in graph.output}
    inner = {(place, 2) for place, node in enumerate(graph.node) if node in ends}
    found = []
    for place, node in reversed([*enumerate(graph.node)]):
        uses = {use for name in node.output for use in users.get(name, ())}
        if uses and uses <= inner and wanted.isdisjoint(node.output):
            inner |= {(place, index) for index in range(len(node.input))}
            found.append(node)
    return found[::-1]


def _branch(name: str, nodes: list[NodeProto], outputs: list[str]) -> GraphProto:
    return make_graph(nodes, name, [], [make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs])
