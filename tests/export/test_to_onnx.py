"""export.to_onnx: the files compute what the network does, for any number of faces."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch

from export.parts import example_inputs, split
from export.to_onnx import TOLERANCE
from mfm_edge.engine.folder import CARD, PARTS
from mfm_edge.engine.onnx import OnnxEngine


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
            assert other.std() > 0.01
            np.testing.assert_allclose(one, other.numpy(), atol=TOLERANCE, rtol=0)


def test_the_folder_loads_and_its_card_says_how_exact_it_is(exported):
    card = json.loads((exported.model / CARD).read_text())
    assert card["steps"] == 7 and set(card["torch_against_onnxruntime"]) == set(PARTS)
    assert all(0 < difference < TOLERANCE for difference in exported.differences.values())
    assert len(OnnxEngine(exported.model).model_id) == 16
