"""Table 4 and Figure 23 of the paper: passwords that differ in one, two or three bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from mfm_edge.style import StyleKey, expand
from training.data import FaceSet
from training.experiments.charts import save_distances
from training.experiments.subject import Crops, key_of, modify
from training.metrics.judges import Judge
from training.report import Goal, Section, Table

__all__ = ["BIT_PASSWORD", "flipped", "places", "similar_passwords"]

BIT_PASSWORD = "0110100110010110"
VARIANTS = 6  # the paper's a1 to a6
INPUTS = 4  # rows of Table 4


def similar_passwords(engine: OnnxEngine, faces: FaceSet, judges: list[Judge], folder: Path) -> Section:
    """Each face's surrogates under one key and under six like it, always in the first slot. A salt or secret of each
    face's own, as every stream has: with one for all it would be these few keys that are measured. Writes figure-23.png
    into folder."""
    x, rng = faces.crops, np.random.default_rng(23)
    salts, secrets = ([rng.bytes(size) for _ in x] for size in (16, 32))
    none = Factors("-").attribute_vector()

    def words(password: str) -> list[StyleKey]:
        return [key_of(Factors(password), salt) for salt in salts]

    def derived(at: tuple[int, ...] = ()) -> list[StyleKey]:
        return [expand(_flipped_bytes(secret, at), none) for secret in secrets]

    kinds: dict[str, tuple[list[StyleKey], list[list[StyleKey]]]] = {}
    for bits in (1, 2, 3):
        alike = [words(flipped(BIT_PASSWORD, at)) for at in places(len(BIT_PASSWORD), bits, VARIANTS, rng)]
        kinds[f"password, {bits} of 16 bits"] = words(BIT_PASSWORD), alike
    for bits in (1, 2, 3):
        alike = [derived(at) for at in places(256, bits, VARIANTS, rng)]
        kinds[f"derived secret, {bits} of 256 bits"] = derived(), alike
    kinds["password of one character"] = words("a"), [words(c) for c in "bcdefg"]
    section = Section("Table 4 and Figure 23: similar passwords")
    rows: list[list[str | float | None]] = []
    worst = {judge.name: np.inf for judge in judges}
    matched: dict[str, list[float]] = {judge.name: [] for judge in judges}
    relative: dict[str, dict[str, NDArray[np.float64]]] = {judge.name: {} for judge in judges}
    for kind, (base, keys) in kinds.items():
        y = modify(engine, x, faces.landmarks, base)
        others = [modify(engine, x, faces.landmarks, alike) for alike in keys]
        for judge in judges:
            apart = np.stack([judge.distance(y, other) for other in others], 1)
            worst[judge.name] = min(worst[judge.name], float(apart.min()) / judge.tolerance)
            relative[judge.name][kind] = apart / judge.tolerance
            same = float((apart <= judge.tolerance).mean())
            matched[judge.name].append(same)
            rows.append([kind, judge.name, float(apart.mean()), float(apart.min()), judge.tolerance, same])
            if judge.used_in_training and kind == "password, 1 of 16 bits":
                section.tables.append(_table_4(x, others, judge))
    columns = ("what differs", "recogniser", "mean distance", "worst pair", "tolerance", "pairs matched")
    section.tables.append(Table(f"Figure 23: {len(x)} faces, {VARIANTS} pairs each", columns, rows))
    for judge in judges:
        counts, share = not judge.used_in_training, float(np.mean(matched[judge.name]))
        section.goals += [
            Goal(f"similar passwords, pairs that match, {judge.name}", share, "0", counts=counts),
            Goal(
                f"similar passwords, worst distance / tolerance, {judge.name}", worst[judge.name], "> 1", counts=counts
            ),
        ]
    section.pictures["Figure 23: distances of surrogates under keys like each other, in tolerances"] = save_distances(
        folder / "figure-23.png", relative, same=1
    )
    section.notes.append(
        "Compared are surrogates of one face under two keys. Every bit of a key depends on every bit of the password "
        "and of the secret derived from it, so that bits apart should not matter; nor should a password's length."
    )
    return section


def places(length: int, bits: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """`count` different choices of so many bits of a string."""
    found: set[tuple[int, ...]] = set()
    while len(found) < count:
        found.add(tuple(sorted(rng.choice(length, bits, replace=False).tolist())))
    return sorted(found)


def flipped(password: str, at: tuple[int, ...]) -> str:
    """A password of zeros and ones with those at some places changed."""
    return "".join(str(1 - int(bit)) if i in at else bit for i, bit in enumerate(password))


def _flipped_bytes(secret: bytes, at: tuple[int, ...]) -> bytes:
    bits = np.unpackbits(np.frombuffer(secret, np.uint8))
    bits[list(at)] ^= 1
    return np.packbits(bits).tobytes()


def _table_4(x: Crops, others: list[Crops], judge: Judge) -> Table:
    apart = [judge.distance(x[:INPUTS], other[:INPUTS]) for other in others]
    rows = [[f"input {i + 1}", *(float(a[i]) for a in apart)] for i in range(min(INPUTS, len(x)))]
    title = f"Table 4: distance to the original, {judge.name}, one person up to {judge.tolerance}"
    return Table(title, ("", *(f"a{i + 1}" for i in range(VARIANTS))), rows)
