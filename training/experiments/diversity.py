"""One face under ten passwords: ten people?"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mfm_edge.critic import Critic
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.style import FaceKeys
from training.data import FaceSet
from training.experiments.subject import choose_slots, in_slots, modify
from training.metrics.judges import Judge
from training.report import Goal, Section, Table

__all__ = ["diversity"]

PASSWORDS = 10


def diversity(engine: OnnxEngine, faces: FaceSet, judges: list[Judge]) -> Section:
    """Every face under ten passwords of its own, each in the slot that the runtime chooses, every pair compared.

    Ten for all faces would measure how much these ten happen to be alike.
    """
    x, rng, none = faces.crops, np.random.default_rng(10), Factors("-").attribute_vector()
    choice, surrogates = SlotChoice(engine, Critic()), []
    for _ in range(PASSWORDS):
        keys = [FaceKeys(rng.bytes(32), none) for _ in x]
        own = in_slots(keys, choose_slots(choice, x, faces.landmarks, keys))
        surrogates.append(modify(engine, x, faces.landmarks, own))
    section = Section("Diversity")
    rows: list[list[str | float | None]] = []
    for judge in judges:
        vectors = [judge.embed(y) for y in surrogates]
        pairs = list(combinations(vectors, 2))
        same = float(np.mean([judge.same(a, b) for a, b in pairs]))
        apart = float(np.mean([1 - (a * b).sum(1).numpy() for a, b in pairs]))
        people = judge.embed(x)
        between = float(np.mean(1 - (people @ people.T).numpy()[np.triu_indices(len(x), 1)])) if len(x) > 1 else None
        section.goals.append(Goal(f"{PASSWORDS} passwords, pairs that match, {judge.name}", same, "<= 0.01"))
        rows.append([judge.name, same, apart, between, judge.tolerance])
    columns = ("recogniser", "pairs matched", "mean distance", "mean distance of different real people", "tolerance")
    title = f"{len(x)} faces, {PASSWORDS * (PASSWORDS - 1) // 2} pairs each; distance: 1 - cosine"
    section.tables.append(Table(title, columns, rows))
    return section
