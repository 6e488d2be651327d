"""What the eye said of some surrogates lets expect what it would say of others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mfm_edge.engine.onnx import OnnxEngine
from training import losses
from training.data import FaceSet, load_faces, to_tensor
from training.ratings import CHIP, MOST, RATINGS, Eyes, Rater, main, make_sheets, pack, quarters
from training.recogniser import View

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_models = pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs ../shared/models")


@pytest.mark.parametrize("all_of_them", [False, True])
def test_ratings_of_people_who_were_left_out_are_foreseen(all_of_them: bool) -> None:
    rated = np.load(RATINGS)
    later = rated["people"] > rated["people"].max() - 60  # of a network that had been trained to please what was fitted
    some = ~later | all_of_them
    looks, ratings, people = (
        values[some] for values in (rated["seen"] * rated["step"], rated["ratings"], rated["people"])
    )
    assert ratings.min() >= 0 and ratings.max() <= MOST and len(looks) == len(ratings) == len(people)
    expected, by_eye = np.empty(len(ratings)), people >= 0
    for left_out in range(4):  # photographs, too
        known = np.where(by_eye, people, np.arange(len(people))) % 4 != left_out
        rater = Rater.fit(looks[known], ratings[known], by_eye[known])
        expected[~known] = rater(torch.from_numpy(looks[~known]).float())
    assert (ratings[~by_eye] == MOST).all() and expected[~by_eye].mean() > expected[by_eye].max() - 0.3
    of_one = [people == person for person in np.unique(people[by_eye])]

    def agree(of_one: list[np.ndarray]) -> float:
        apart = [np.concatenate([values[one] - values[one].mean() for one in of_one]) for values in (expected, ratings)]
        return np.corrcoef(*apart)[0, 1]

    if all_of_them:
        assert agree(of_one[:-60]) > 0.54 and agree(of_one[-60:]) > 0.33
    else:
        assert agree(of_one) > 0.57
    taken = [ratings[one][expected[one].argmax()] for one in of_one]
    assert np.mean(taken) > ratings[by_eye].mean() + 0.4


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes(SHARED / "models")


@needs_models
def test_pictures_can_follow_a_rating(faces: FaceSet, eyes: Eyes) -> None:
    rater, view = Rater.load(), View.straight(3, CHIP)
    x = to_tensor(faces.crops[:3]).requires_grad_()

    def rated(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return rater(quarters([*eyes.recogniser(x, view)[1], *eyes.other.look(x, straight=True)]))

    ratings = rated(x)
    losses.unnatural(ratings, ratings.max().item() + 1).backward()
    with torch.no_grad():
        better = rated(x - 0.3 * x.grad / x.grad.square().mean().sqrt() / 128)
    assert (better > ratings).all()


@needs_models
def test_what_is_seen_does_not_depend_on_the_batch_nor_a_rating_on_the_side(faces: FaceSet, eyes: Eyes) -> None:
    crops = faces.crops[:3]
    found, at_once = eyes.see(crops, batch=2), eyes.see(crops)
    assert found.shape == (3, *np.load(RATINGS)["step"].shape)
    spread = np.abs(found - found.mean(0)).mean()
    assert np.abs(found - at_once).mean() < 0.5 * spread  # every look of the recogniser's has its own noise
    rater = Rater.load()
    ratings, mirrored = rater.rate(eyes, crops), rater.rate(eyes, crops[:, :, ::-1])
    np.testing.assert_allclose(ratings, mirrored, atol=0.2)


@needs_models
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="needs ../shared/data")
def test_blotches_are_less_natural_than_the_photograph(eyes: Eyes) -> None:
    rng, crops = np.random.default_rng(0), load_faces(SHARED / "data" / "celeba", "val", limit=40).crops[::5]
    noise = np.stack([cv2.resize(n, (128, 128)) for n in rng.normal(0, 25, (8, 24, 24, 1)).astype(np.float32)])
    spoiled = np.clip(crops + noise[..., None], 0, 255).astype(np.uint8)
    rater = Rater.load()
    photographs, blotched = rater.rate(eyes, crops), rater.rate(eyes, spoiled)
    assert photographs.mean() > 3.2 and (photographs > blotched + 0.5).all()


def test_quarters_lie_where_the_face_has_them() -> None:
    one = torch.zeros(1, 2, 8, 8)
    one[0, 1, :4, 4:] = 3.0  # top right
    assert quarters([one, 2 * one]).tolist() == [[0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0]]


@needs_models
def test_sheets_are_rated_and_packed_with_photographs(tmp_path: Path, faces: FaceSet, eyes: Eyes) -> None:
    make_sheets(OnnxEngine(), faces, tmp_path, people=7, keys=2, seed=1)
    sheets = [cv2.imread(str(path)) for path in sorted(tmp_path.glob("sheet-*.png"))]
    assert [sheet.shape for sheet in sheets] == [(6 * 176, 3 * 176, 3), (176, 3 * 176, 3)]
    surrogates = np.load(tmp_path / "surrogates.npz")["surrogates"]
    assert surrogates.shape == (7, 2, 128, 128, 3)
    small = cv2.resize(sheets[1][:, 176:352], (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.abs(small.astype(int) - surrogates[6, 0]).mean() < 6
    ratings, packed, photographs = tmp_path / "ratings.txt", tmp_path / "ratings.npz", faces.crops[:3]
    ratings.write_text("04\n" * 6 + "31\n")
    assert pack(eyes, tmp_path, ratings, packed, photographs) == 17
    assert np.load(packed)["ratings"].tolist() == [4] * 3 + [0, 4] * 6 + [3, 1]
    assert np.load(packed)["people"].tolist() == [-1] * 3 + [person for person in range(7) for _ in range(2)]
    looks = eyes.see(np.concatenate([photographs, *[surrogates.reshape(-1, 128, 128, 3)] * 2]))
    ratings.write_text("13\n" * 7)
    assert pack(eyes, tmp_path, ratings, packed, photographs) == 31
    both = np.load(packed)
    assert both["ratings"].tolist() == [4] * 3 + [0, 4] * 6 + [3, 1] + [1, 3] * 7
    assert both["people"].tolist() == [-1] * 3 + [person for person in range(14) for _ in range(2)]
    assert np.abs(both["seen"] * both["step"] - looks).mean() < 0.5 * np.abs(looks - looks.mean(0)).mean()
    for wrong in ("04\n" * 6, "05\n" * 7, "0x\n" * 7, "0\n" * 7):
        ratings.write_text(wrong)
        with pytest.raises(ValueError, match="7 lines of 2 digits from 0 to 4"):
            pack(eyes, tmp_path, ratings, tmp_path / "none.npz", photographs)
    assert not (tmp_path / "none.npz").exists()


def test_packing_takes_a_file_of_ratings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pack", "--out", "sheets", "--data", "data"])
    assert "--ratings" in capsys.readouterr().err
