"""The attacks count right: intervals that cover, the right key as control, guesses wrong in what they say alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.attacks.guesses import _flip_signature, _flip_signs, _one_off, replace_factors
from benchmarks.attacks.inversion import _regress
from benchmarks.attacks.setting import Row, key_of, modify, salt_of
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors


def test_intervals_are_wide_for_few_pairs_and_cover_the_share() -> None:
    none, some = Row("a", "j", 0, 40), Row("a", "j", 3, 10)
    assert none.interval[0] == 0 and none.interval[1] == pytest.approx(0.0876, abs=1e-3)  # Wilson's, by hand
    assert some.interval == pytest.approx((0.1078, 0.6032), abs=1e-3)
    assert Row("a", "j", 0, 100_000).interval[1] < 1e-4


def test_guesses_differ_in_one_thing() -> None:
    rng = np.random.default_rng(0)
    right = Factors("correct horse", hair="gray", smiling=True)
    other = _one_off(right.password, rng)
    assert len(other) == len(right.password) and sum(a != b for a, b in zip(other, right.password, strict=True)) == 1
    assert replace_factors(right, smiling=False) == Factors("correct horse", hair="gray", smiling=False)
    key = key_of(right, salt_of(0))
    assert (_flip_signs(key, 0.01, rng).signs != key.signs).sum() == round(0.01 * len(key.signs))
    assert (_flip_signature(key, 8, rng).signature_to != key.signature_to).sum() == 8


def test_right_key_comes_nearer_than_a_wrong_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(60, 190, (2, 8, 8, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    engine, factors = OnnxEngine(), Factors("correct horse")
    keys = [key_of(factors, salt_of(i)) for i in range(2)]
    y = modify(engine, x, keys)
    error = [
        np.abs(modify(engine, y, [key.inverse() for key in guess]).astype(int) - x).mean()
        for guess in (keys, keys[::-1])
    ]
    assert error[0] < error[1] / 2


def test_inversion_learns_a_map_that_is_linear() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    y = 255 - x[:, ::-1]
    basis = x[:32]
    assert np.abs(_regress(y[:32], basis, y[:32]).astype(int) - basis).mean() < 20
