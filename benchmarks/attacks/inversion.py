"""Attackers who learn the way back from pairs of originals and surrogates, here by linear regression.

A linear map is the least that an attacker would try; a trained network may do better, so that these rows are lower
bounds of what learning achieves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.attacks.setting import Crops, Row, Setting, key_of, modify, salt_of
from mfm_edge.factors import Factors

__all__ = ["inverted"]

_PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def inverted(setting: Setting) -> list[Row]:
    """Half of the people are known to the attacker, the others are to be restored; with one password and salt for all,
    such as when some of a stream's faces became known, and with another salt for each."""
    half = len(setting.first) // 2
    one = [key_of(Factors("correct horse"), salt_of(5000))] * len(setting.first)
    many = [key_of(Factors("correct horse"), salt_of(6000 + i)) for i in range(len(setting.first))]
    rows: list[Row] = []
    for name, keys in {"under the same key": one, "under other keys": many}.items():
        y = modify(setting.engine, setting.first, keys)
        guess = _regress(y[:half], setting.first[:half], y[half:])
        rows += setting.matched(f"linear inversion from {half} pairs {name}", guess, setting.first[half:])
    return rows


def _regress(known_y: Crops, known_x: Crops, y: Crops) -> Crops:
    """Ridge regression of whole pictures in its dual form; the penalty is chosen by the attacker on a quarter of the
    pairs that are known."""
    cut = max(1, len(known_y) * 3 // 4)
    errors = [
        float(np.square(_ridge(known_y[:cut], known_x[:cut], known_y[cut:], penalty) - known_x[cut:]).mean())
        for penalty in _PENALTIES
    ]
    found = _ridge(known_y, known_x, y, _PENALTIES[int(np.argmin(errors))])
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def _ridge(known_y: Crops, known_x: Crops, y: Crops, penalty: float) -> NDArray[np.float64]:
    a, b, probe = (pictures.reshape(len(pictures), -1) / 255.0 for pictures in (known_y, known_x, y))
    centre_a, centre_b = a.mean(0), b.mean(0)
    a, b, probe = a - centre_a, b - centre_b, probe - centre_a
    weights = np.linalg.solve(a @ a.T + penalty * np.eye(len(a)), b)
    found = probe @ a.T @ weights + centre_b
    return (found * 255).reshape(y.shape)
