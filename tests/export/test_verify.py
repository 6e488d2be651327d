"""export.verify: says yes to what ships, and no to a model that is not what was trained."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
pytest.importorskip("torch", reason="needs the extra: export")

from onnx import numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from export import backends  # noqa: E402
from export.verify import FACTORS, TOLERANCES, Check, demo_crops, main, verify  # noqa: E402
from mfm_edge.align import TEMPLATE  # noqa: E402
from mfm_edge.engine.folder import CARD, PARTS, SHIPPED_MODEL  # noqa: E402
from mfm_edge.factors import derive_secret  # noqa: E402
from mfm_edge.style import expand  # noqa: E402


@pytest.fixture(scope="module")
def keys():
    return [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS[:1]]


def tampered(folder: Path, copy: Path, part: str, change) -> Path:
    """A copy in which the largest convolution of a part is changed, with a card that fits."""
    shutil.copytree(folder, copy)
    path = copy / f"{part}.onnx"
    model = onnx.load(path)
    weight = max((item for item in model.graph.initializer if len(item.dims) == 4), key=lambda item: np.prod(item.dims))
    values = numpy_helper.to_array(weight).copy()
    change(values)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path.write_bytes(model.SerializeToString())
    card = json.loads((copy / CARD).read_text())
    card["sha256"][part] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / CARD).write_text(json.dumps(card))
    return copy


def failed(checks: list[Check]) -> set[tuple[str, str]]:
    return {(check.backend, check.what) for check in checks if not check.passed}


def test_the_shipped_model_passes(keys):
    quick = [backends.onnx_runtime_as_it_is(SHIPPED_MODEL), backends.onnx_runtime(SHIPPED_MODEL)]
    checks = verify(quick, demo_crops(2), keys)
    assert not failed(checks)
    assert len(checks) == 1 + len(PARTS) + 5
    assert all(np.isfinite(check.found) for check in checks)


def test_bad_restoring_is_told_once(keys):
    """Of noise half is clipped. That all backends restore it alike badly is the model's fault, not theirs."""
    noise = np.random.default_rng(0).integers(0, 2, (2, 128, 128, 3), np.uint8) * 255
    quick = [backends.onnx_runtime_as_it_is(SHIPPED_MODEL), backends.onnx_runtime(SHIPPED_MODEL)]
    assert failed(verify(quick, noise, keys)) == {(quick[0].name, "there and back, dB")}


def test_openvino_passes_in_its_own_precision(keys):
    pytest.importorskip("openvino", reason="needs the extra: openvino")
    chosen = [backends.onnx_runtime(SHIPPED_MODEL), backends.openvino(SHIPPED_MODEL, "f32")]
    assert not failed(verify(chosen, demo_crops(2), keys))


def test_onnx_reference_computes_the_small_parts_alike(keys):
    """The decoder takes it seconds, and the command does that."""
    reference, runtime = backends.onnx_reference(SHIPPED_MODEL), backends.onnx_runtime(SHIPPED_MODEL)
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 128, 128)).astype(np.float32)
    places = TEMPLATE[None].astype(np.float32)
    found, expected = (
        backend.run("content_encoder", crop=crop, landmarks=places)[0] for backend in (reference, runtime)
    )
    assert found.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=TOLERANCES["f32"].output * np.abs(expected).max(), rtol=0)


def test_it_gathers_where_onnx_alone_would_not():
    rng = np.random.default_rng(0)
    data, order = rng.normal(size=(1, 300)).astype(np.float32), rng.permutation(300)[None]
    node = onnx.helper.make_node("GatherElements", ["data", "order"], ["out"], axis=1)
    found = ReferenceEvaluator(node, new_ops=[backends.GatherElements]).run(None, {"data": data, "order": order})[0]
    np.testing.assert_array_equal(found, data[:, order[0]])


def test_the_export_equals_its_run_and_one_changed_weight_does_not(exported, tmp_path, keys):
    run, _ = backends.pytorch(exported.run)

    def differs(model: Path) -> set[tuple[str, str]]:
        return failed(verify([run, backends.onnx_runtime(model)], demo_crops(2), keys))

    assert not {what for _, what in differs(exported.model)} - {"there and back, dB"}  # it has learned nothing

    def change(values: np.ndarray) -> None:
        values.flat[0] += 0.5

    copy = tampered(exported.model, tmp_path / "one", "content_encoder", change)
    assert ("ONNX Runtime", "content_encoder, share") in differs(copy)


def test_the_command_fails_closed_on_a_changed_model(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(backends, "onnx_reference", backends.onnx_runtime)  # it takes seconds a face
    monkeypatch.setattr("export.verify.FACTORS", FACTORS[:1])

    def change(values: np.ndarray) -> None:
        values.flat[0] = np.nan

    copy = tampered(exported.model, tmp_path / "nan", "decoder", change)
    result = tmp_path / "result.json"
    assert main(["--model", str(copy), "--run", str(exported.run), "--json", str(result)]) == 1
    assert "FAILED" in capsys.readouterr().out
    written = json.loads(result.read_text())
    assert written["passed"] is False and written["compared_with"] == "torch"
    assert {"f32", "bf16", "f16", "int8", "int8-symmetric"} == set(written["tolerances"]) and "onnxruntime" in written[
        "versions"
    ]
    decoder = [check for check in written["checks"] if check["what"] == "decoder, share"]
    assert decoder and not any(check["passed"] for check in decoder)


def test_what_cannot_be_checked_is_one_line(exported, tmp_path, capsys):
    for arguments, message in (
        (["--model", str(tmp_path / "nowhere")], "model: cannot read"),
        (["--data", str(tmp_path)], "no val-*.parquet"),
        (["--run", str(tmp_path)], "--run: cannot load"),
        (["--run", str(exported.run)], "after 7 steps, takes the one of the model"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
