"""What the eye said of some surrogates lets expect what it would say of others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import losses
from training.data import FaceSet, to_tensor
from training.ratings import CHIP, MOST, RATINGS, Rater, main, make_sheets, pack, quarters, seen
from training.recogniser import Recogniser, View

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_models = pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs ../shared/models")


def test_ratings_of_people_who_were_left_out_are_foreseen() -> None:
    rated = np.load(RATINGS)
    looks, ratings, people = rated["seen"] * rated["step"], rated["ratings"], rated["people"]
    assert ratings.min() >= 0 and ratings.max() <= MOST and len(looks) == len(ratings) == len(people)
    expected = np.empty(len(ratings))
    for left_out in range(4):
        known = people % 4 != left_out
        expected[~known] = Rater.fit(looks[known], ratings[known])(torch.from_numpy(looks[~known]))
    of_one = [people == person for person in np.unique(people)]
    apart = [np.concatenate([values[one] - values[one].mean() for one in of_one]) for values in (expected, ratings)]
    assert np.corrcoef(*apart)[0, 1] > 0.58
    taken = [ratings[one][expected[one].argmax()] for one in of_one]
    assert np.mean(taken) > ratings.mean() + 0.4


@needs_models
def test_pictures_can_follow_a_rating(faces: FaceSet) -> None:
    recogniser, rater, view = Recogniser(SHARED / "models"), Rater.load(), View.straight(3, CHIP)
    x = to_tensor(faces.crops[:3]).requires_grad_()
    torch.manual_seed(0)
    ratings = rater(quarters(recogniser(x, view)[1]))
    losses.unnatural(ratings, MOST).backward()
    with torch.no_grad():
        torch.manual_seed(0)
        better = rater(quarters(recogniser(x - 0.3 * x.grad / x.grad.square().mean().sqrt() / 128, view)[1]))
    assert (better > ratings).all()


@needs_models
def test_what_is_seen_does_not_depend_on_the_batch_nor_a_rating_on_the_side(faces: FaceSet) -> None:
    recogniser, crops = Recogniser(SHARED / "models"), faces.crops[:3]
    found, at_once = seen(recogniser, crops, batch=2), seen(recogniser, crops)
    assert found.shape == (3, 896) and found.min() >= 0
    spread = np.abs(found - found.mean(0)).mean()
    assert np.abs(found - at_once).mean() < 0.5 * spread  # every look has its own noise
    rater = Rater.load()
    ratings, mirrored = rater.rate(recogniser, crops), rater.rate(recogniser, crops[:, :, ::-1])
    np.testing.assert_allclose(ratings, mirrored, atol=0.2)


def test_quarters_lie_where_the_face_has_them() -> None:
    one = torch.zeros(1, 2, 8, 8)
    one[0, 1, :4, 4:] = 3.0  # top right
    assert quarters([one, 2 * one]).tolist() == [[0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0]]


@needs_models
def test_sheets_are_rated_and_packed(tmp_path: Path, faces: FaceSet) -> None:
    make_sheets(faces, tmp_path, people=7, keys=2, seed=1)
    sheets = [cv2.imread(str(path)) for path in sorted(tmp_path.glob("sheet-*.png"))]
    assert [sheet.shape for sheet in sheets] == [(6 * 176, 3 * 176, 3), (176, 3 * 176, 3)]
    surrogates = np.load(tmp_path / "surrogates.npz")["surrogates"]
    assert surrogates.shape == (7, 2, 128, 128, 3)
    small = cv2.resize(sheets[1][:, 176:352], (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.abs(small.astype(int) - surrogates[6, 0]).mean() < 6
    ratings, packed, recogniser = tmp_path / "ratings.txt", tmp_path / "ratings.npz", Recogniser(SHARED / "models")
    ratings.write_text("04\n" * 6 + "31\n")
    assert pack(recogniser, tmp_path, ratings, packed) == 14
    assert np.load(packed)["ratings"].tolist() == [0, 4] * 6 + [3, 1]
    assert np.load(packed)["people"].tolist() == [person for person in range(7) for _ in range(2)]
    looks = seen(recogniser, surrogates.reshape(-1, 128, 128, 3))
    ratings.write_text("13\n" * 7)
    assert pack(recogniser, tmp_path, ratings, packed) == 28
    both = np.load(packed)
    assert both["ratings"].tolist() == [0, 4] * 6 + [3, 1] + [1, 3] * 7
    assert both["people"].tolist() == [person for person in range(14) for _ in range(2)]
    for half in np.split(both["seen"] * both["step"], 2):
        assert np.abs(half - looks).mean() < 0.5 * np.abs(looks - looks.mean(0)).mean()
    for wrong in ("04\n" * 6, "05\n" * 7, "0x\n" * 7, "0\n" * 7):
        ratings.write_text(wrong)
        with pytest.raises(ValueError, match="7 lines of 2 digits from 0 to 4"):
            pack(recogniser, tmp_path, ratings, tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_packing_takes_a_file_of_ratings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pack", "--out", "sheets", "--data", "data"])
    assert "--ratings" in capsys.readouterr().err
