"""export.narrow and export.quantise: only what was chosen gets narrow, and what costs too much is not written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
pytest.importorskip("torch", reason="needs the extra: export")
pytest.importorskip("skimage", reason="needs the extra: train")

from export import cost, quantise  # noqa: E402
from export.narrow import F16_OPERATORS, INT8_OPERATORS, activation_ranges, layers_of, to_f16, to_int8  # noqa: E402
from export.parts import example_inputs  # noqa: E402
from export.verify import FACTORS, demo_crops  # noqa: E402
from mfm_edge.align import TEMPLATE  # noqa: E402
from mfm_edge.engine.folder import CARD, SHIPPED_MODEL, read_model  # noqa: E402
from mfm_edge.engine.onnx import OnnxEngine  # noqa: E402
from mfm_edge.errors import ModelError  # noqa: E402
from mfm_edge.factors import derive_secret  # noqa: E402
from mfm_edge.style import expand  # noqa: E402

PART = "content_encoder"


@pytest.fixture(scope="module")
def encoder() -> onnx.ModelProto:
    return onnx.load_from_string(read_model().parts[PART])


@pytest.fixture(scope="module")
def call() -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in example_inputs(PART, 2).items()}


def run(proto: onnx.ModelProto, call: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, call)[0]


def share(found: np.ndarray, expected: np.ndarray) -> float:
    """Of the error in the output, root mean squares: the largest error is that of a clipped value."""
    return float(np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()))


def test_f16_makes_the_chosen_products_narrow_and_nothing_else(encoder, call):
    layers = layers_of(encoder, F16_OPERATORS)
    everything = [name for names in layers.values() for name in names]
    narrow = to_f16(encoder, everything)
    assert [node.op_type for node in narrow.graph.node if node.op_type != "Cast"] == [
        node.op_type for node in encoder.graph.node
    ]
    assert len(narrow.SerializeToString()) < 0.7 * len(encoder.SerializeToString())
    assert 0 < share(run(narrow, call), run(encoder, call)) < 2e-3
    np.testing.assert_array_equal(run(to_f16(encoder, []), call), run(encoder, call))


@pytest.mark.parametrize("symmetric", [False, True])
def test_int8_stands_around_the_chosen_convolutions(encoder, call, symmetric):
    layers = layers_of(encoder, INT8_OPERATORS)
    chosen = [name for names in list(layers.values())[2:4] for name in names]
    narrow = to_int8(encoder, chosen, activation_ranges(encoder, [call]), symmetric=symmetric)
    made_by = {output: node.op_type for node in narrow.graph.node for output in node.output}
    for node in narrow.graph.node:
        if node.op_type == "Conv":
            assert (made_by.get(node.input[0]) == "DequantizeLinear") == (node.name in chosen)
    kinds = {item.data_type for item in narrow.graph.initializer if len(item.dims) == 4}
    assert (onnx.TensorProto.INT8 in kinds) is not symmetric  # symmetric: quantised in the graph, as TensorRT wants it
    assert 0 < share(run(narrow, call), run(encoder, call)) < 0.1


def test_weights_leave_room_where_cpus_add_in_16_bits(encoder, call):
    nodes = [name for names in layers_of(encoder, INT8_OPERATORS).values() for name in names]
    narrow = to_int8(encoder, nodes, activation_ranges(encoder, [call]), symmetric=False)
    weights = [
        onnx.numpy_helper.to_array(item)
        for item in narrow.graph.initializer
        if item.data_type == onnx.TensorProto.INT8 and len(item.dims) == 4
    ]
    assert weights and max(int(np.abs(weight.astype(int)).max()) for weight in weights) == 64


def keys():
    return [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS[:1]]


def test_the_search_leaves_what_harms_in_f32(monkeypatch):
    """The layer named n costs n decibels: 0 to 5 together 15."""
    monkeypatch.setattr(quantise, "SEARCH_DB", 15.0)
    layers = [("decoder", str(price)) for price in (7, 3, 0, 9, 5, 1, 8, 2, 6, 4)]

    def loss(chosen):
        return sum(float(name) for _, name in chosen)

    def harm(layer):
        return loss([layer])

    assert {name for _, name in quantise.search(layers, loss, harm, "int8")} == {"6", "7", "8", "9"}
    assert quantise.search(layers[1:3], loss, harm, "int8") == []


def test_what_narrow_parts_lose_is_measured_beside_those_that_stay(encoder):
    faces = cost.Faces(demo_crops(2), np.repeat(TEMPLATE[None].astype(np.float32), 2, axis=0))
    calibration = quantise.Calibration(read_model(), faces, keys())
    assert calibration.ranges.keys() == {"content_encoder", "decoder"}  # those with convolutions
    nodes = [name for names in layers_of(encoder, INT8_OPERATORS).values() for name in names]
    narrow = to_int8(encoder, nodes, calibration.ranges[PART], symmetric=False).SerializeToString()
    assert calibration.loss({PART: encoder.SerializeToString()}) == 0
    assert 0 < abs(calibration.loss({PART: narrow}, 1)) < 20


def measured(lost_db: float, lost_points: float) -> dict:
    return {
        "restored PSNR, dB (median)": {"f32": 40.0, "variant": 40.0 - lost_db},
        "de-identified": {"SFace": {"f32": 0.98, "variant": 0.98 - lost_points / 100}},
    }


def test_what_costs_too_much_is_said():
    assert cost.too_costly(measured(0.5, 0.5)) == []
    assert cost.too_costly(measured(-1, -1)) == []
    assert "restoring loses 0.60 dB" in cost.too_costly(measured(0.6, 0))[0]
    assert "SFace loses 1.00 points" in cost.too_costly(measured(0, 1))[0]


def test_a_variant_that_was_written_is_loaded_and_a_damaged_one_is_not(tmp_path: Path, encoder):
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED_MODEL, folder)
    nodes = [name for names in layers_of(encoder, F16_OPERATORS).values() for name in names]
    variant = quantise.Variant("f16", {PART: to_f16(encoder, nodes).SerializeToString()}, [("decoder", "up")], 9)
    with pytest.raises(ModelError, match="names no parts in int8-symmetric"):
        OnnxEngine(folder, precision="int8-symmetric")
    quantise.write(folder, variant, measured(0.1, 0))
    card = json.loads((folder / CARD).read_text())["variants"]["f16"]
    assert card["layers in f32"] == ["decoder: up"] and card["measured"] == measured(0.1, 0)
    with pytest.raises(ModelError, match="trust_unknown_model|names no parts in f16"):  # the package's card has none
        OnnxEngine(folder, precision="f16")
    narrow, engine = OnnxEngine(folder, precision="f16", trust_unknown_model=True), OnnxEngine(folder)
    assert narrow.model_id == engine.model_id and narrow.provider == "CPUExecutionProvider, f16"
    crops, key = demo_crops(1), keys()[0]
    found = narrow.modify(crops, [key]).faces.astype(int) - engine.modify(crops, [key]).faces
    assert 0 < np.abs(found).max() < 20
    (folder / "f16" / f"{PART}.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=rf"f16.{PART}\.onnx has sha256"):
        OnnxEngine(folder, precision="f16", trust_unknown_model=True)


def test_without_data_it_is_one_line(tmp_path, capsys):
    assert quantise.main(["--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
