"""The loop on real faces: a few steps, killed and resumed. Needs the data and the recogniser that are handed over."""

import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mfm_edge.align import TEMPLATE
from training import losses
from training.config import Config, Weights
from training.data import load_faces, to_tensor
from training.face_mesh import STRAIGHT, FaceMesh
from training.phase2 import Trainer
from training.recogniser import Recogniser, random_view
from training.targets import TargetFinder, moved
from training.train import run_phase1, run_phase2

SHARED = Path(__file__).parents[3] / "shared"
pytestmark = pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")
CONFIG = Config(batch=4, phase1_steps=2, sample_every=1)


@pytest.fixture(scope="module")
def faces():
    return load_faces(SHARED / "data" / "celeba", "train", limit=240)


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser(SHARED / "models")


def test_crops_match_their_labels_and_the_template(faces):
    assert faces.crops.shape == (240, 128, 128, 3) and faces.attributes.shape == (240, 17)
    median = np.median(faces.landmarks, 0)
    np.testing.assert_allclose(median[0], (49.7, 66.3), atol=2)
    blond, black = faces.attributes[:, 1], faces.attributes[:, 0]
    hair = faces.crops[:, 8:24, 40:88].mean((1, 2, 3))
    assert hair[blond].mean() > hair[black].mean() + 10


def test_targets_are_other_people_in_a_similar_pose(faces):
    finder = TargetFinder(faces, candidates=200)
    index = np.arange(40)
    found = finder.find(index, np.zeros((40, 17), np.float32), np.random.default_rng(0))
    assert (faces.identities[found] != faces.identities[index]).all()
    nose = faces.landmarks[:, 2, 0]
    random = np.random.default_rng(1).integers(0, 240, 40)
    assert np.abs(nose[found] - nose[index]).mean() < np.abs(nose[random] - nose[index]).mean()
    turned = _turned(faces)
    assert np.abs(turned[found] - turned[index]).mean() < 0.5 * np.abs(turned[random] - turned[index]).mean()


def _turned(faces):
    """How much nearer the one temple is than the other."""
    with torch.no_grad():
        points = FaceMesh.load()(to_tensor(faces.crops), STRAIGHT.expand(len(faces), 2, 3)).numpy()
    return points[:, 454, 2] - points[:, 234, 2]


def test_targets_have_what_is_asked_for(faces):
    """More often than anybody, and than those who are found when nothing is asked for."""
    finder, index = TargetFinder(faces, candidates=240), np.arange(60)
    for attribute, wanted in ((4, True), (4, False), (6, True), (15, True)):
        asked = np.zeros((60, 17), np.float32)
        shares = []
        for asked[:, attribute] in (0, 1 if wanted else -1):
            found = finder.find(index, asked, np.random.default_rng(0))
            shares.append((faces.attributes[found, attribute] == wanted).mean())
        assert shares[1] > 0.9 and shares[1] > shares[0] + 0.2


def test_a_target_is_moved_to_where_the_face_has_its_landmarks():
    """Spots painted at the target's landmarks end near the face's; a stretch that would distort it is not done."""
    rng = np.random.default_rng(0)
    own, wanted = TEMPLATE + rng.normal(0, 1, (2, 5, 2)) + [[[0, 0]], [[3, -2]]]
    crop = np.zeros((128, 128, 3), np.uint8)
    for x, y in own:
        cv2.circle(crop, (round(x), round(y)), 2, (255, 255, 255), -1)
    out = moved(crop[None], own[None].astype(np.float32), wanted[None].astype(np.float32))[0, ..., 0].astype(float)
    ys, xs = np.mgrid[:128, :128]
    for x, y in wanted:
        near = out * (np.hypot(xs - x, ys - y) < 6)
        assert np.hypot((near * xs).sum() / near.sum() - x, (near * ys).sum() / near.sum() - y) < 2.5
    squeezed = TEMPLATE * [0.3, 1] + [45, 0]
    kept = moved(crop[None], TEMPLATE[None].astype(np.float32), squeezed[None].astype(np.float32))[0, ..., 0]
    rows, columns = np.nonzero(kept > 40)
    assert np.ptp(columns) > 0.7 * np.ptp(rows) * np.ptp(own[:, 0]) / np.ptp(own[:, 1])


def test_a_target_whose_landmarks_span_no_face_stays():
    crop, nothing = np.full((1, 128, 128, 3), 90, np.uint8), np.full((1, 5, 2), 64, np.float32)
    crop[0, 40:60] = 200
    np.testing.assert_array_equal(moved(crop, nothing, TEMPLATE[None].astype(np.float32)), crop)


def test_steps_learn_are_saved_and_resumed(faces, recogniser, tmp_path):
    torch.manual_seed(0)
    phase1 = run_phase1(faces, recogniser, tmp_path, CONFIG)
    trainer = Trainer(faces, phase1, recogniser, CONFIG)
    before = trainer.modifier.decoder.coarse[0].weight.detach().clone()
    last_touch = {name: weights.clone() for name, weights in trainer.modifier.decoder.finish.state_dict().items()}
    values = [trainer.step() for _ in range(3)]  # a wrong key, the right key and another identity
    assert (
        all({"feat", "feat_local", "identity"} <= values[i].keys() for i in (0, 2))
        and {"b_restored", "rec"} <= values[1].keys()
    )
    assert values[1]["psnr_restored"] > 22  # before anything was learned, half of the faces through JPEG
    assert all(np.isfinite(list(v.values())).all() for v in values)
    assert not torch.equal(before, trainer.modifier.decoder.coarse[0].weight)
    for name, weights in trainer.modifier.decoder.finish.state_dict().items():
        assert torch.equal(weights, last_touch[name])  # phase 3's

    torch.save(trainer.state(), tmp_path / "checkpoint.pt")
    again = run_phase1(faces, recogniser, tmp_path, CONFIG)
    np.testing.assert_array_equal(again.space.analysis, phase1.space.analysis)
    resumed = Trainer(faces, again, recogniser, CONFIG)
    run_phase2(resumed, faces.take(slice(0, 3)), tmp_path, deadline=time.monotonic() - 1)  # too late for any
    assert resumed.steps == 3
    step = resumed.step

    def interrupted() -> dict[str, float]:
        resumed.processes.interrupted = resumed.steps == 4
        return step()

    resumed.step = interrupted
    run_phase2(resumed, faces.take(slice(0, 3)), tmp_path, deadline=time.monotonic() + 600)
    assert resumed.steps == 5
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert saved["steps"] == 5
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(row["step"] > 3 for row in rows)
    assert list(tmp_path.glob("sample-*.png")) and not list(tmp_path.glob("*.partial"))


def test_resuming_goes_on_exactly_where_it_stopped(faces, recogniser, tmp_path):
    phase1 = run_phase1(faces, recogniser, tmp_path, CONFIG)
    one = Trainer(faces, phase1, recogniser, CONFIG)
    one.step()
    state = torch.load(_save(one, tmp_path), weights_only=False)
    expected = one.step()
    other = Trainer(faces, phase1, recogniser, CONFIG)
    other.load_state(state)
    found = other.step()
    assert found["distance_y_x"] == pytest.approx(expected["distance_y_x"], rel=1e-3)


def test_what_ratings_let_expect_changes_what_the_modifier_learns(faces, recogniser, tmp_path):
    phase1 = run_phase1(faces, recogniser, tmp_path, CONFIG)
    drawn, told = [], []
    for weight in (0.0, CONFIG.weights.unnatural):
        torch.manual_seed(0)
        trainer = Trainer(faces, phase1, recogniser, replace(CONFIG, weights=Weights(unnatural=weight)))
        told.append(trainer.step())
        drawn.append(trainer.modifier.decoder.coarse[0].weight)
    assert "unnatural" not in told[0] and 0 <= told[1]["unnatural"] < 20
    assert not torch.equal(*drawn)


def test_bounds_of_information_change_the_modifier_and_are_saved_only_where_they_are_used(faces, recogniser, tmp_path):
    phase1 = run_phase1(faces, recogniser, tmp_path, CONFIG)
    plain = Trainer(faces, phase1, recogniser, CONFIG)
    plain.steps = 1  # the right key's turn
    weights = Weights(information_anonymised=1, information_wrong=1, information_restored=1)
    bound = Trainer(faces, phase1, recogniser, replace(CONFIG, weights=weights))
    bound.load_state(plain.state())  # of a run without bounds: they come in fresh
    assert not any(name.startswith("information") for name in plain.state())
    with torch.no_grad():
        embeddings, _ = recogniser(to_tensor(faces.crops[:16]), random_view(16, 128))
    every = torch.arange(16)
    for _ in range(30):  # so that they know faces: fresh ones know nothing, and ask for nothing
        bound.information_optimiser.zero_grad()
        bound.information.loss(embeddings, embeddings, embeddings, every, "right key").backward()
        bound.information_optimiser.step()
    state = bound.state()
    torch.set_rng_state(plain.state()["torch_rng"])
    before = bound.information.restored.shift.detach().clone()
    values = bound.step()
    assert {"information_anonymised", "information_restored"} <= values.keys()
    torch.set_rng_state(state["torch_rng"])
    plain.step()
    drawn = [trainer.modifier.decoder.coarse[0].weight for trainer in (plain, bound)]
    assert not torch.equal(*drawn)
    assert not torch.equal(before, bound.information.restored.shift)
    values = bound.step() | bound.step()  # another identity, and a wrong key
    assert "information_wrong" in values and np.isfinite(list(values.values())).all()

    again = Trainer(faces, phase1, recogniser, replace(CONFIG, weights=weights))
    again.load_state(torch.load(_save(bound, tmp_path), weights_only=False))
    torch.testing.assert_close(again.information.state_dict(), bound.information.state_dict())
    plain.load_state(bound.state())  # and back to a run without them


def _save(trainer: Trainer, folder: Path) -> Path:
    torch.save(trainer.state(), folder / "state.pt")
    return folder / "state.pt"


@pytest.mark.parametrize("chip", Config().chips)
def test_the_recogniser_tells_people_apart_at_every_chip_size(faces, recogniser, chip):
    """The push counts in units of the distance of different people; another view must stay well below one of them."""
    x = to_tensor(faces.crops[:40])
    torch.manual_seed(0)
    with torch.no_grad():
        one, two = recogniser(x, random_view(40, chip))[0], recogniser(x, random_view(40, chip))[0]
    different = (one - one.roll(7, 0)).norm(dim=1).mean()
    same = (one - two).norm(dim=1).mean()
    assert same < 0.55 * different


def test_local_push_is_one_for_the_same_face_and_small_for_another(faces, recogniser):
    x = to_tensor(faces.crops[:24:2])
    view = random_view(len(x), 128)
    with torch.no_grad():
        _, features = recogniser(x, view)
        _, again = recogniser(x, view)
    same = losses.push_features(again, features)
    other = losses.push_features([f.roll(5, 0) for f in features], features)
    assert same > 0.6 and other < 0.3
