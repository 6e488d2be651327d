"""Attackers who learn from pairs of their own: they have the network, so they can protect as many faces as they like.

Here by linear regression, of pictures and of a recogniser's embeddings. A linear map is the least that an attacker
would try; a trained network may do better, so that these rows are lower bounds of what learning achieves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.attacks.counts import Row
from benchmarks.attacks.setting import Photos, Setting, salt_of
from mfm_edge.factors import Factors
from training.experiments.subject import key_of
from training.metrics.judges import Judge

__all__ = ["inverted", "recognised"]

_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_OWN_KEYS = 4  # surrogates that an attacker makes of each face

FloatArray = NDArray[np.float64]


def inverted(setting: Setting) -> list[Row]:
    """Half of the people are known to the attacker, the others are to be restored; with one key for all, such
    as when some faces of a stream's slot became known, and with another salt for each."""
    half = len(setting.first) // 2
    one = [key_of(Factors("correct horse"), salt_of(5000))] * len(setting.first)
    many = [key_of(Factors("correct horse"), salt_of(6000 + i)) for i in range(len(setting.first))]
    rows: list[Row] = []
    for name, keys in {"under the same key": one, "under other keys": many}.items():
        y = setting.modify(setting.first, keys)
        known, originals, victims = y[:half], setting.first[:half], y[half:]
        a, b, probe = (photos.crops.reshape(len(photos), -1) / 255.0 for photos in (known, originals, victims))
        crops = np.clip(np.rint(_regress(a, b, probe) * 255), 0, 255).astype(np.uint8).reshape(victims.crops.shape)
        guess = replace(victims, crops=crops)
        rows += setting.matched(f"linear inversion from {half} pairs {name}", guess, setting.first[half:])
    return rows


def recognised(setting: Setting) -> list[Row]:
    """A watch list of other photos of the half that the attacker does not know; chance is one in their number.

    The parrot protects his watch list, too, under keys of his own, and compares surrogates with surrogates. The learner
    protects people whom he knows and learns what a surrogate's embedding says of the original's, as de-anonymisers in
    the manner of Fantomas do.
    """
    half = len(setting.first) // 2
    known, victims = setting.first[:half], setting.first[half : 2 * half]
    watched = setting.second[half : 2 * half]
    y = _protected(setting, victims, "correct horse")
    own = [f"own {number}" for number in range(_OWN_KEYS)]
    lessons = [_protected(setting, known, password) for password in own]
    parroted = [_protected(setting, watched, password) for password in own]
    rows: list[Row] = []
    for judge in setting.judges:
        probes, gallery = _embed(judge, y), _embed(judge, watched)
        parrot = np.mean([_embed(judge, surrogates) for surrogates in parroted], axis=0)
        # Person by person, so that those whom the penalty is chosen on are not among those who are learned from.
        a = np.stack([_embed(judge, surrogates) for surrogates in lessons], axis=1).reshape(half * _OWN_KEYS, -1)
        guesses = _regress(a, _embed(judge, known).repeat(_OWN_KEYS, axis=0), probes)
        for name, found, listed in (
            ("surrogate against a watch list", probes, gallery),
            (f"parrot: watch list protected under {_OWN_KEYS} keys", probes, parrot),
            (f"learner: embeddings of {len(a)} pairs", guesses, gallery),
        ):
            hits = int(((_unit(found) @ _unit(listed).T).argmax(1) == np.arange(half)).sum())
            rows.append(Row(f"{name}, nearest of {half} people", judge.name, hits, half))
    return rows


def _protected(setting: Setting, photos: Photos, password: str) -> Photos:
    """Every face in a stream of its own."""
    keys = [key_of(Factors(password), salt_of(7000 + number)) for number in range(len(photos))]
    return setting.modify(photos, keys)


def _embed(judge: Judge, photos: Photos) -> FloatArray:
    return np.asarray(judge.embed(photos.crops).numpy(), np.float64)


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _regress(known_a: FloatArray, known_b: FloatArray, probe: FloatArray) -> FloatArray:
    """Ridge regression in its dual form, (N, A) and (N, B) known -> (M, A) to (M, B); the penalty is chosen by the
    attacker on a quarter of the pairs that are known."""
    cut = max(1, len(known_a) * 3 // 4)
    errors = [
        float(np.square(_ridge(known_a[:cut], known_b[:cut], known_a[cut:], penalty) - known_b[cut:]).mean())
        for penalty in _PENALTIES
    ]
    return _ridge(known_a, known_b, probe, _PENALTIES[int(np.argmin(errors))])


def _ridge(known_a: FloatArray, known_b: FloatArray, probe: FloatArray, penalty: float) -> FloatArray:
    centre_a, centre_b = known_a.mean(0), known_b.mean(0)
    a, b = known_a - centre_a, known_b - centre_b
    weights = np.linalg.solve(a @ a.T + penalty * np.eye(len(a)), b)
    return (probe - centre_a) @ a.T @ weights + centre_b
