"""The small recogniser learns to see what its teacher sees, from what it is given and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training import likeness
from training.data import FaceSet
from training.likeness import SIZE, Lookalike, fit, lessons, main

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "celeba"


def test_it_learns_what_the_teacher_says_up_to_shift_and_scale(faces: FaceSet) -> None:
    crops = faces.crops[:48]
    halves = crops[:, 28:76, 16:112].mean((1, 2, 3)) - crops[:, 76:124, 16:112].mean((1, 2, 3))
    shade = torch.from_numpy(halves)  # what this teacher looks at
    told = 7 + 0.01 * shade[:, None].repeat(1, SIZE).float()
    torch.manual_seed(0)
    network = fit(Lookalike(widths=(8, 8, 8, 8)), crops, told, minutes=0.4)
    with torch.no_grad():
        pictures = torch.from_numpy(likeness.look_at(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
        found = network(pictures).mean(1)
    assert not network.training
    assert np.corrcoef(found.numpy(), shade.numpy())[0, 1] > 0.8
    assert 0.3 < float(found.std()) < 1.5 and abs(float(found.mean())) < 0.4  # not 7, and not a hundredth


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/celeba")
def test_lessons_are_faces_of_training_and_their_surrogates() -> None:
    models = DATA.parents[1] / "models"
    crops, embeddings = lessons(DATA, models, surrogates=2, limit=5)
    assert crops.shape == (7, 128, 128, 3) and embeddings.shape == (7, SIZE)
    alike = embeddings @ embeddings.T
    assert float(alike.diagonal().min()) > 0.999 and float(alike.max()) < 1.001
    originals = [np.abs(crop.astype(int) - crops[:5]).mean((1, 2, 3)).argmin() for crop in crops[5:]]
    assert len(set(originals)) == 2  # around the face they are who they were
    for surrogate, original in zip(crops[5:], originals, strict=True):
        assert np.array_equal(surrogate[:20], crops[original][:20]) and not np.array_equal(surrogate, crops[original])


def test_a_run_goes_on_from_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: FaceSet) -> None:
    monkeypatch.setattr(likeness, "lessons", lambda *_, **__: (faces.crops[:8], torch.randn(8, SIZE)))
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    main(["--data", str(tmp_path), "--out", str(first), "--minutes", "0"])
    main(["--data", str(tmp_path), "--out", str(second), "--minutes", "0", "--start", str(first)])
    a, b = (torch.load(path, weights_only=True)["body.0.0.weight"] for path in (first, second))
    assert 0 < float((a - b).abs().max()) < 0.01
