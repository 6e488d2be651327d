"""export.verify: says yes to what ships, and no to a model that is not what was trained."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
pytest.importorskip("torch", reason="needs the extra: export")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from export import backends  # noqa: E402
from export.verify import TOLERANCES, Check, demo_crops, verify  # noqa: E402
from mfm_edge.align import TEMPLATE  # noqa: E402
from mfm_edge.engine.folder import PARTS, SHIPPED_MODEL  # noqa: E402


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
