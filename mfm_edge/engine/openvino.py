"""The network in OpenVINO, on the CPU: three compiled graphs, with the repeat-and-add kernel between them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine import Modified
from mfm_edge.engine.folder import PARTS, read_model
from mfm_edge.engine.steps import run_parts
from mfm_edge.errors import ModelError
from mfm_edge.style import StyleKey

__all__ = ["OpenVinoEngine"]


class OpenVinoEngine:
    """Loads a model folder, see mfm_edge.engine.folder; needs the extra: openvino.

    folder: the shipped model when None. threads: OpenVINO's own choice when None. precision of the convolutions:
    "bf16", "f32", "int8" (see mfm_edge.engine.folder), or bf16 where the CPU has it when None. All else is f32: what is
    hidden comes back only if the steps around the convolutions are exact, and bf16 everywhere would cost restored faces
    two decibels.

    Raises ModelError when OpenVINO is not installed, a file is missing or is not what the card says, or the CPU lacks
    the precision.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        threads: int | None = None,
        callers: int = 1,
        precision: str | None = None,
        trust_unknown_model: bool = False,
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            takes = "`pip install 'mfm-edge[openvino]'`"
            raise ModelError(f"engine: cannot import openvino ({error}), takes {takes}") from None
        if precision not in (None, "bf16", "f32", "int8"):
            raise ModelError(f"precision: got {precision!r}, takes 'bf16', 'f32', 'int8' or None")
        model = read_model(folder, "int8" if precision == "int8" else "f32", known_only=not trust_unknown_model)
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise ModelError("precision: got bf16, which this CPU does not compute, takes 'f32' or None")
        self.precision: str = precision or ("bf16" if has_bf16 else "f32")
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": callers}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads * callers
        self._parts: dict[str, Any] = {}
        self._own = threading.local()
        for part in PARTS:
            graph = core.read_model(model.parts[part])
            _separate_transposed_constants(graph)
            if self.precision == "bf16" and part != "style_encoder":
                _convolve_in_bf16(graph)
            graph.validate_nodes_and_infer_types()
            self._parts[part] = core.compile_model(graph, "CPU", options)
        self.on_cpu: bool = True
        self.batch: int = 2  # four take 7 % less time each, and 37 MB more for each thread and crop
        self.provider: str = f"OpenVINO CPU, convolutions in {self.precision}"
        self.model_id: str = model.model_id

    def modify(
        self, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
    ) -> Modified:
        """(N, 128, 128, 3) uint8 BGR, a key each; see Engine."""
        return run_parts(self.run_part, crops, keys, landmarks)

    def run_part(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """One of the three graphs alone; see mfm_edge.engine.steps.RunPart."""
        requests = self._own.__dict__  # a request serves one thread at a time
        if part not in requests:
            requests[part] = self._parts[part].create_infer_request()
        found = requests[part].infer({name: np.ascontiguousarray(value) for name, value in inputs.items()})
        # Copies: the results live in OpenVINO's memory, which the next call writes over.
        return [np.array(output) for output in found.values()]


def _separate_transposed_constants(graph: Any) -> None:
    """Give each transposed use of a constant a constant of its own.

    OpenVINO 2026.4 computes nonsense in f32 where one square constant is used by a MatMul as it is and by another
    through a Transpose, as the axes of the hidden part are.
    """
    from openvino import opset13

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Transpose":
            continue
        source, order = node.input_value(0).get_node(), node.input_value(1).get_node()
        if source.get_type_name() == "Convert":
            source = source.input_value(0).get_node()
        if source.get_type_name() == "Constant" and order.get_type_name() == "Constant":
            turned = source.data.astype(np.float32).transpose(order.data)
            node.output(0).replace(opset13.constant(np.ascontiguousarray(turned)).output(0))


def _convolve_in_bf16(graph: Any) -> None:
    """Convert input and weights of each convolution to bf16, and what comes of it with its bias and its SiLU back: the
    three are one step then, and from one convolution to the next nothing is converted.

    The inference precision hint would take everything else along.
    """
    from openvino import opset13

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        for index in (0, 1):
            node.input(index).replace_source_output(_narrow(node.input_value(index)))
        node.validate_and_infer_types()
        narrow, users = _biased(node)
        wide = opset13.convert(narrow, "f32")
        for user in users:
            user.replace_source_output(wide.output(0))


def _narrow(value: Any) -> Any:
    """A value in bf16; what has only been made wide comes as it was."""
    from openvino import Type, opset13

    node = value.get_node()
    if node.get_type_name() == "Convert" and node.input_value(0).get_element_type() == Type.bf16:
        return node.input_value(0)
    return opset13.convert(value, "bf16").output(0)


def _biased(convolution: Any) -> tuple[Any, list[Any]]:
    """A bf16 convolution's output with its bias and SiLU, as far as it has them, and the inputs that take it."""
    from openvino import opset13

    output = convolution.output(0)
    users = [user for user in output.get_target_inputs() if user.get_node().get_type_name() != "ShapeOf"]
    added = users[0].get_node()
    bias = None if len(users) != 1 or added.get_type_name() != "Add" else _constant(added.input_value(1))
    if bias is None or bias.size != output.get_partial_shape()[1].get_length():
        return output, users
    output = opset13.add(output, _bf16(bias.reshape(1, -1, 1, 1))).output(0)
    users = list(added.output(0).get_target_inputs())
    by_name = {user.get_node().get_type_name(): user.get_node() for user in users}
    if len(users) == 2 and by_name.keys() == {"Sigmoid", "Multiply"}:  # x * sigmoid(x)
        users = list(by_name["Multiply"].output(0).get_target_inputs())
        output = opset13.swish(output, _bf16(np.float32(1))).output(0)
    return output, users


def _constant(value: Any) -> NDArray[np.float32] | None:
    """The constant that a value is, whatever its shape."""
    node = value.get_node()
    while node.get_type_name() == "Reshape":
        node = node.input_value(0).get_node()
    return np.array(node.data, np.float32) if node.get_type_name() == "Constant" else None


def _bf16(values: Any) -> Any:
    from openvino import opset13

    return opset13.convert(opset13.constant(values), "bf16")
