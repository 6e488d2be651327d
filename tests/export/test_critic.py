"""The critic's file computes what torch computed, and is known by its card."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import onnxruntime
import torch

from export import critic, small
from training.critic import CriticNetwork


@pytest.fixture(scope="module")
def network() -> CriticNetwork:
    torch.manual_seed(3)
    return CriticNetwork().eval()


def test_the_file_computes_the_same_for_any_number_of_faces(network: CriticNetwork, tmp_path: Path) -> None:
    path = tmp_path / "new" / "critic.onnx"
    critic.export(network, path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(path.read_bytes()).hexdigest() and "non-commercial" in card["terms"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        x = torch.rand(count, 3, 64, 64) * 2 - 1
        with torch.no_grad():
            expected = network(x)
        assert [len(output) for output in expected] == [count] * 3
        found = session.run(["embedding", "natural", "attributes"], {"face": x.numpy()})
        for here, there in zip(found, expected, strict=True):
            np.testing.assert_allclose(here, there.numpy(), atol=1e-4)


def test_a_file_that_computes_something_else_gets_no_card(
    network: CriticNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "critic.onnx"
    path.with_suffix(".json").write_text("{}")
    monkeypatch.setattr(small, "TOLERANCE", 0)
    with pytest.raises(RuntimeError, match="torch and ONNX Runtime differ by"):
        critic.export(network, path)
    assert not path.with_suffix(".json").exists()
