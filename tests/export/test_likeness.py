"""The recogniser's file computes what torch computed, and is known by its card."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import onnxruntime
import torch

from export import likeness
from training.likeness import Lookalike


@pytest.fixture(scope="module")
def network() -> Lookalike:
    torch.manual_seed(3)
    return Lookalike().eval()


def test_the_file_computes_the_same_for_any_number_of_faces(network: Lookalike, tmp_path: Path) -> None:
    path = tmp_path / "new" / "likeness.onnx"
    likeness.export(network, path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(path.read_bytes()).hexdigest() and "non-commercial" in card["terms"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        x = torch.rand(count, 3, 64, 64) * 2 - 1
        with torch.no_grad():
            np.testing.assert_allclose(session.run(None, {"face": x.numpy()})[0], network(x).numpy(), atol=1e-4)


def test_a_file_that_computes_something_else_gets_no_card(
    network: Lookalike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "likeness.onnx"
    path.with_suffix(".json").write_text("{}")
    monkeypatch.setattr(likeness, "TOLERANCE", 0)
    with pytest.raises(RuntimeError, match="torch and ONNX Runtime differ by"):
        likeness.export(network, path)
    assert not path.with_suffix(".json").exists()
