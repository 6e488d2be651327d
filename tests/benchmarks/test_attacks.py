"""The attacks count right: intervals that cover, guesses wrong in what they say alone, trials that go on where they
stopped, and keys in a batch that do what each does alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.attacks.counts import Row, to_markdown
from benchmarks.attacks.guesses import CODES, FACTORS, Secret, _one_off
from benchmarks.attacks.key_recovery import Insider, key_from_pairs, read_mark
from benchmarks.attacks.learning import _regress
from benchmarks.attacks.setting import Photos, Setting, salt_of
from benchmarks.attacks.surrogates import siblings
from benchmarks.attacks.trials import Trials
from mfm_edge.align import TEMPLATE
from mfm_edge.critic import Critic
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.style import NEIGHBOURS
from training.data import FaceSet, to_tensor
from training.experiments.subject import key_of, modify
from training.fit_style_space import fit_style_space
from training.keys import random_keys
from training.networks import Modifier


class Brightness:
    """Takes faces of like brightness for one person."""

    name = "Brightness"

    def embed(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(crops.astype(np.float32).mean((1, 2, 3)))[:, None]

    def same(self, a: torch.Tensor, b: torch.Tensor) -> NDArray[np.bool_]:
        return (abs(a - b)[:, 0] < 4).numpy()


@pytest.fixture(scope="module")
def setting() -> Setting:
    rng = np.random.default_rng(0)
    x = rng.integers(60, 190, (3, 8, 8, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    photos = Photos(x, TEMPLATE.astype(np.float32) + rng.normal(0, 2, (3, 5, 2)).astype(np.float32))
    engine = OnnxEngine(threads=1)
    return Setting(engine, SlotChoice(engine, Critic()), photos, photos, (Brightness(),))


def test_intervals_are_wide_for_few_pairs_and_cover_the_share() -> None:
    assert Row("a", "j", 0, 40).interval == (0, pytest.approx(1 - 0.025 ** (1 / 40)))  # by hand
    assert Row("a", "j", 40, 40).interval == (pytest.approx(0.025 ** (1 / 40)), 1)
    assert Row("a", "j", 3, 10).interval == pytest.approx((0.0667, 0.6525), abs=1e-4)  # Clopper and Pearson's table
    assert Row("a", "j", 0, 100_000).interval[1] < 1e-4
    assert "100 (99.8 to 100)" in to_markdown([Row("a", "j", 1642, 1642)])


def test_pairs_of_few_people_prove_less() -> None:
    spread = Row.by_person("a", "j", np.tile([1, 0, 0, 0], 25), np.full(100, 10))
    lumped = Row.by_person("a", "j", np.r_[10, 10, 5, np.zeros(97, int)], np.full(100, 10))
    assert spread.share == lumped.share and spread.pairs == lumped.pairs == 1000
    assert spread.interval == pytest.approx(Row("a", "j", 25, 1000).interval)
    assert lumped.interval[1] > 1.5 * spread.interval[1]
    assert Row.by_person("a", "j", [0, 0, 9], [5, 5, 0]).hits == 0  # who was never tried does not count


def test_guesses_differ_in_one_thing() -> None:
    rng = np.random.default_rng(0)
    secret = Secret.draw(rng)
    password = _one_off(secret.factors.password, rng)
    assert sum(a != b for a, b in zip(password, secret.factors.password, strict=True)) == 1
    off = key_of(replace(secret.factors, smiling=not secret.factors.smiling), secret.salt)
    assert np.array_equal(FACTORS["one attribute off"](secret, rng).signs, off.signs)
    for distance in (1, 64):
        near = CODES[f"code at a distance of {distance} bits"](secret, rng)
        assert sum((getattr(near, f.name) != getattr(secret.key, f.name)).sum() for f in fields(near)) == distance
    for guess in FACTORS.values():
        assert not np.array_equal(guess(secret, rng).order, secret.key.order)


def test_parts_of_codes_are_exchanged_one_by_one() -> None:
    secret = Secret.draw(np.random.default_rng(0))
    changed = {
        name: [f.name for f in fields(secret.key) if (getattr(key, f.name) != getattr(secret.key, f.name)).any()]
        for name, key in ((name, CODES[name](secret, np.random.default_rng(1))) for name in CODES if "right" in name)
    }
    assert changed["code with another signs, the rest right"] == ["signs"]
    assert "signs" not in changed["code with the right signs alone"]
    everything = {"signs", *changed["code with the right signs alone"]}
    assert everything == {f.name for f in fields(secret.key)} - {"signature_from", "known"}


def test_keys_in_a_batch_do_what_each_does_alone(setting: Setting) -> None:
    keys = [key_of(Factors("correct horse", smiling=True), salt_of(i)) for i in range(3)]
    x, landmarks = setting.first.crops[..., ::-1], setting.first.landmarks
    each = [slice(i, i + 1) for i in range(3)]
    alone = [setting.engine.modify(x[i], keys[i], landmarks[i]).faces[0, ..., ::-1] for i in each]
    together = setting.modify(setting.first, keys).crops
    assert np.abs(together.astype(int) - alone).max() <= 1
    one = modify(setting.engine, setting.first.crops[:1], landmarks[:1], keys)
    assert np.abs(one[0].astype(int) - alone[0]).max() <= 1
    assert np.abs(one[1].astype(int) - alone[0]).max() > 20  # another key, another face


def test_right_key_comes_nearer_than_a_wrong_one(setting: Setting) -> None:
    keys = [key_of(Factors("correct horse"), salt_of(i)) for i in range(3)]
    x = setting.first
    y = setting.modify(x, keys)
    error = [
        np.abs(setting.modify(y, [key.inverse() for key in guess]).crops - setting.first.crops.astype(int)).mean()
        for guess in (keys, keys[1:] + keys[:1])
    ]
    assert error[0] < error[1] / 2


def test_pairs_of_people_in_one_slot_and_in_two_are_counted_by_person(setting: Setting) -> None:
    rows = siblings(setting)
    assert [(row.attack.split(" of ")[0], row.pairs, row.people) for row in rows] == [
        ("two people in one slot", 6, 3),
        ("two people in two slots", 6, 3),
    ]


def test_trials_go_on_where_they_stopped(setting: Setting, tmp_path: Path) -> None:
    kinds = {name: FACTORS[name] for name in list(FACTORS)[:2]}

    def rows(log: str, *parts: int) -> list[Row]:
        for pairs in parts:
            trials = Trials(setting, kinds, tmp_path / log, goal=0.001)
            trials.run(seconds=60, pairs=pairs)
            assert trials.pairs == pairs
        return trials.rows()

    at_once = rows("once", 8)
    in_parts = rows("parts", 4)
    with (tmp_path / "parts").open("a") as log:
        log.write('{"trial": 2, "hi')  # killed
    in_parts = rows("parts", 8, 8)
    assert at_once == in_parts
    assert [row.pairs for row in at_once] == [4, 4, 4, 4, 8]
    assert at_once[1].hits == 4  # the right factors
    assert [row.goal for row in at_once] == [None, None, 0.001, 0.001, 0.001]
    with pytest.raises(SystemExit, match="other settings"):
        Trials(setting, kinds, tmp_path / "once", seed=1)


def test_regression_learns_a_map_that_is_linear() -> None:
    rng = np.random.default_rng(0)
    x, way = rng.normal(size=(64, 6)), rng.normal(size=(6, 4))
    assert np.abs(_regress(x[:48], (x @ way)[:48], x[48:]) - (x @ way)[48:]).max() < 0.1


def test_key_is_worked_out_where_it_follows_from_what_is_seen() -> None:
    """Components that change exactly as the network changes them."""
    rng = np.random.default_rng(0)
    key, guess = (key_of(Factors(password), salt_of(0)) for password in ("correct horse", "anything"))
    n, k = 40, 100 * NEIGHBOURS
    strength = np.where(np.arange(k) < k // 2, np.float32(1.5), np.float32(0))
    x = rng.standard_normal((n, k), np.float32)
    y = x[:, key.order[:k]] * key.signs[:k] + strength * key.mark[:k]
    found = key_from_pairs(x[:20], y[:20], strength, guess)
    assert np.array_equal(found.order[:k], key.order[:k]) and np.array_equal(found.signs[:k], key.signs[:k])
    assert np.array_equal(found.signature_to, guess.signature_to)  # nothing that was not seen
    mark = read_mark(y, strength, guess)
    assert (mark == key.mark)[: k // 2].mean() > 0.98
    assert abs((mark == key.signs)[: k // 2].mean() - 0.5) < 0.08  # it says nothing about the signs
    assert np.array_equal(mark[k // 2 :], guess.mark[k // 2 :])


def test_insider_sees_what_the_key_moves() -> None:
    rng = np.random.default_rng(0)
    crops = [cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in rng.normal(128, 40, (80, 16, 16, 3))]
    crops += rng.normal(0, 12, (80, 128, 128, 3))
    faces = FaceSet(
        np.stack(crops).clip(0, 255).astype(np.uint8), np.arange(80), rng.random((80, 17)) < 0.5,
        (TEMPLATE + rng.normal(0, 3, (80, 5, 2))).astype(np.float32),
    )  # fmt: skip
    torch.manual_seed(0)
    network, keys = Modifier(fit_style_space(faces)).eval(), random_keys(4, rng)
    insider, x = Insider(network), Photos(faces.crops[:4], faces.landmarks[:4])
    with torch.no_grad():
        made = network(to_tensor(x.crops), torch.from_numpy(x.landmarks), *keys.inputs())
    y = ((made.clamp(-1, 1).permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    before, after = insider.see(x, surrogates=False), insider.see(replace(x, crops=y), surrogates=True)
    used = slice(before.shape[1])
    moved = np.take_along_axis(before, keys.order[:, used].numpy(), 1) * keys.signs[:, used].numpy()
    moved += insider.strength * keys.mark[:, used].numpy()
    # What is drawn depends on the signature.
    for part, least in ((insider.strength > 0, 0.5), (insider.strength == 0, 0.9)):
        assert np.corrcoef(moved[:, part].ravel(), after[:, part].ravel())[0, 1] > least
