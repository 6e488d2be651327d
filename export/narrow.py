"""Graphs whose convolutions, or all products, compute in fewer bits; whatever stands around them stays float32."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.helper import make_node
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.graph import drop_unused

__all__ = [
    "CLIPPED",
    "F16_OPERATORS",
    "INT8_OPERATORS",
    "Ranges",
    "activation_ranges",
    "layers_of",
    "to_f16",
    "to_int8",
]

INT8_OPERATORS = ("Conv",)
F16_OPERATORS = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
"""All of them, since TensorRT for RTX has no float32 products for SM75."""
CLIPPED = 0.1
"""Percent of activations beyond either end of a range. What restoring suffers from is the size of a step, since the
network must draw the same twice from inputs that nearly agree; clipping it draws alike both times. On 32 validation
faces, all convolutions in int8: 0 restores 36.0 dB, 0.01 39.1 dB, 0.1 41.5 dB, 0.5 44.4 dB (float32: 43.4 dB), but the
surrogates move away from those of float32: 40.2, 40.6, 37.3 and 30.4 dB."""
SUBSAMPLED = 7  # of activations, every 7th is enough for percentiles; odd, so that all columns take part

Ranges = Mapping[str, tuple[np.float32, np.float32]]


def layers_of(proto: onnx.ModelProto, operators: Iterable[str]) -> dict[str, list[str]]:
    """Nodes of these operators by layer, which is their weight: a layer may be used several times."""
    weights = {item.name for item in proto.graph.initializer}
    found: dict[str, list[str]] = {}
    for node in proto.graph.node:
        if node.op_type in operators:
            layer = next((name for name in node.input if name in weights), node.name)
            found.setdefault(layer, []).append(node.name)
    return found


def activation_ranges(proto: onnx.ModelProto, calls: Iterable[Mapping[str, NDArray[Any]]]) -> Ranges:
    """Lowest and highest value, short of CLIPPED, of what goes into and out of each convolution in these calls."""
    shown = copy.deepcopy(proto)
    weights = {item.name for item in proto.graph.initializer}
    nodes = [node for node in proto.graph.node if node.op_type in INT8_OPERATORS]
    names = list(dict.fromkeys(name for node in nodes for name in (node.input[0], node.output[0])))
    names = [name for name in names if name not in weights]
    own = {value.name for value in proto.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    values: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for call in calls:
        for name, value in zip(names, session.run(names, dict(call)), strict=True):
            values[name].append(value.ravel()[::SUBSAMPLED])
    return {name: _range(np.concatenate(parts)) for name, parts in values.items()}


def _range(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    low, high = np.percentile(values, [CLIPPED, 100 - CLIPPED])
    return np.float32(low), np.float32(high)


def to_int8(proto: onnx.ModelProto, nodes: list[str], ranges: Ranges, *, symmetric: bool) -> onnx.ModelProto:
    """A copy whose convolutions of these names stand between QuantizeLinear and DequantizeLinear.

    Weights are int8, a scale a channel. Activations are uint8 as ONNX Runtime's CPU kernels want them; symmetric: int8
    around zero, with results and bias left in float32, as TensorRT wants it.
    """
    options = {
        "ActivationSymmetric": symmetric,
        "WeightSymmetric": True,
        "QuantizeBias": not symmetric,
        "AddQDQPairToWeight": symmetric,
        "OpTypesToExcludeOutputQuantization": list(INT8_OPERATORS) if symmetric else [],
    }
    quantizer = QDQQuantizer(
        copy.deepcopy(proto),
        per_channel=True,
        # CPUs without VNNI add pairs of products in 16 bits, where weights of 8 bits overflow: they would draw other
        # faces than the CPUs that have it, and none could restore the others'.
        reduce_range=not symmetric,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, dict(ranges)),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=list(INT8_OPERATORS),
        extra_options=options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return _checked(quantizer.model.model)


def to_f16(proto: onnx.ModelProto, nodes: list[str]) -> onnx.ModelProto:
    """A copy whose nodes of these names take and give float16, between casts; their weights are stored so."""
    narrow = copy.deepcopy(proto)
    graph, chosen = narrow.graph, set(nodes)
    weights = {item.name: item for item in graph.initializer}
    cast: dict[str, str] = {}
    written: list[onnx.NodeProto] = []
    for node in list(graph.node):
        if node.name not in chosen:
            written.append(node)
            continue
        for index, name in enumerate(node.input):
            if name and name not in cast:
                cast[name] = f"{name}/f16"
                if name in weights:
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, cast[name]))
                else:
                    written.append(make_node("Cast", [name], [cast[name]], to=TensorProto.FLOAT16))
            node.input[index] = cast.get(name, name)
        (output,) = node.output
        node.output[0] = f"{output}/narrow"
        written += [node, make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT)]
    del graph.node[:]
    graph.node.extend(written)
    drop_unused(graph)
    del graph.value_info[:]  # some of them said float32 of what is float16 now
    return _checked(narrow)


def _checked(proto: onnx.ModelProto) -> onnx.ModelProto:
    onnx.checker.check_model(proto)
    return proto
