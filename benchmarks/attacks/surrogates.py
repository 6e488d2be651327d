"""Attacks that never restore: what many surrogates of one person give away together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.attacks.counts import Row
from benchmarks.attacks.setting import Photos, Setting, salt_of
from mfm_edge.factors import Factors
from training.experiments.subject import face_keys, key_of

__all__ = ["averaged", "identified", "linked"]

_FACTORS = Factors("correct horse", smiling=True)


def averaged(setting: Setting, streams: int) -> list[Row]:
    """One photo protected in many streams: does the mean, of the pictures or of their embeddings, show the person?"""
    x = setting.first
    sets = [_stream(setting, x, 1000 + number) for number in range(streams)]
    mean = np.rint(np.mean([y.crops for y in sets], axis=0, dtype=np.float64)).astype(np.uint8)
    rows = setting.matched(f"mean picture of {streams} surrogates", replace(x, crops=mean), x)
    for judge in setting.judges:
        originals, vectors = judge.embed(x.crops), [judge.embed(y.crops) for y in sets]
        centre = torch.nn.functional.normalize(torch.stack(vectors).mean(0))
        hits = int(judge.same(originals, centre).sum())
        rows.append(Row(f"mean embedding of {streams} surrogates", judge.name, hits, len(x)))
        best = torch.stack([(originals * vector).sum(1) for vector in vectors]).max(0).values
        hits = int((best >= judge.threshold).sum())
        rows.append(Row(f"the most similar of {streams} surrogates", judge.name, hits, len(x)))
    return rows


def linked(setting: Setting) -> list[Row]:
    """Two streams of one person under two salts: are they recognised as one person, or found among the others?"""
    same_photo = _stream(setting, setting.first, 2000), _stream(setting, setting.first, 3000)
    other_photo = _stream(setting, setting.second, 3000)
    rows: list[Row] = []
    for name, (one, two) in {"one photo": same_photo, "two photos": (same_photo[0], other_photo)}.items():
        rows += [replace(row, goal=0.01) for row in setting.matched(f"two streams linked, {name}", one, two)]
        rows += _first_ranks(setting, f"two streams linked, {name}, nearest of all people", one, two)
    rows += setting.matched("two photos unprotected (to compare)", setting.first, setting.second)
    strangers = same_photo[0][np.roll(np.arange(len(setting.first)), 1)]
    rows += setting.matched("surrogates of two people (to compare)", strangers, same_photo[1])
    return rows + siblings(setting)


def siblings(setting: Setting) -> list[Row]:
    """One stream, two people: does the key make them look like each other? All pairs of people, in one slot and in
    two."""
    here, there = (
        setting.modify(setting.first, [key_of(_FACTORS, salt_of(9000), slot=slot)] * len(setting.first))
        for slot in (0, 1)
    )
    a, b = np.nonzero(~np.eye(len(setting.first), dtype=bool))
    rows = []
    for name, others in {"one slot": here, "two slots": there}.items():
        for judge in setting.judges:
            taken = judge.same(judge.embed(here.crops)[a], judge.embed(others.crops)[b])
            attack = f"two people in {name} of a stream, taken for one"
            rows.append(Row.by_person(attack, judge.name, np.bincount(a, taken), np.bincount(a)))
    return rows


def identified(setting: Setting) -> list[Row]:
    """The watch list: is the nearest of all people's original photos the person whose surrogate is shown? Chance is
    one in the number of people."""
    probes = _stream(setting, setting.first, 4000)
    rows = _first_ranks(setting, "surrogate against the same photos, nearest of all people", probes, setting.first)
    rows += _first_ranks(setting, "surrogate against other photos, nearest of all people", probes, setting.second)
    rows += _first_ranks(setting, "unprotected against other photos, nearest of all people (to compare)",
                         setting.first, setting.second)  # fmt: skip
    return rows


def _stream(setting: Setting, photos: Photos, number: int) -> Photos:
    """Every face in a stream of its own, all under one password: a user who protects many videos."""
    keys = [face_keys(_FACTORS, salt_of(number * 1000 + i)) for i in range(len(photos))]
    return setting.modify(photos, [own.of(slot) for own, slot in zip(keys, setting.slots(photos, keys), strict=True)])


def _first_ranks(setting: Setting, attack: str, probes: Photos, gallery: Photos) -> list[Row]:
    rows = []
    for judge in setting.judges:
        nearest = (judge.embed(probes.crops) @ judge.embed(gallery.crops).T).argmax(1).numpy()
        rows.append(Row(attack, judge.name, int((nearest == np.arange(len(probes))).sum()), len(probes)))
    return rows
