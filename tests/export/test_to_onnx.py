"""export.to_onnx: the files compute what the network does, for any number of faces."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
torch = pytest.importorskip("torch", reason="needs the extra: export")

from export.parts import example_inputs, split  # noqa: E402
from export.to_onnx import OPSET, TOLERANCE  # noqa: E402
from mfm_edge.engine.folder import CARD, PARTS  # noqa: E402
from mfm_edge.engine.onnx import OnnxEngine  # noqa: E402


@pytest.mark.parametrize("part", PARTS)
def test_one_file_serves_every_batch(exported, part):
    session = onnxruntime.InferenceSession(exported.model / f"{part}.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        inputs = example_inputs(part, batch, seed=batch)
        with torch.no_grad():
            expected = split(exported.network)[part](*inputs.values())
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for one, other in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
            assert one.shape == tuple(other.shape) and one.shape[0] == batch
            assert (part == "decoder" and other.shape == (batch, 1)) or other.std() > 0.01  # trust may be all zero
            np.testing.assert_allclose(one, other.numpy(), atol=TOLERANCE * other.abs().max(), rtol=0)


def test_the_folder_loads_and_its_card_says_how_exact_it_is(exported):
    card = json.loads((exported.model / CARD).read_text())
    assert card["steps"] == 7 and len(card["checkpoint_sha256"]) == 64
    assert set(card["torch_against_onnxruntime"]) == set(PARTS)
    assert all(0 < difference < TOLERANCE for difference in exported.differences.values())
    assert len(OnnxEngine(exported.model, trust_unknown_model=True).model_id) == 16


@pytest.mark.parametrize("part", PARTS)
def test_each_file_says_where_it_comes_from(exported, part):
    model = onnx.load(exported.model / f"{part}.onnx")
    assert {item.key: item.value for item in model.metadata_props} == {
        "part": part,
        "mfm_edge": version("mfm-edge"),
        "torch": torch.__version__,
        "opset": str(OPSET),
        "crop_size": "128",
        "steps": "7",
        "checkpoint_sha256": hashlib.sha256((exported.run / "checkpoint.pt").read_bytes()).hexdigest(),
    }
    assert model.opset_import[0].version == OPSET
