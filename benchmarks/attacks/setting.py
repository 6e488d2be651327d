"""What every attack shares: people that training never saw, the shipped network, recognisers, and how shares count."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors, KeyDerivation, derive_secret
from mfm_edge.style import StyleKey, expand
from training.data import load_faces
from training.metrics.judges import JUDGES, Judge

__all__ = ["Crops", "Row", "Setting", "key_of", "modify", "salt_of"]

Crops = NDArray[np.uint8]

CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
"""Keys of any cost are equally random. What a guess costs an attacker is the default's time, not this one's."""


@dataclass(frozen=True, slots=True)
class Setting:
    """first, second: (N, 128, 128, 3) uint8 RGB, two photos of each of N people. judges: recognisers that training
    never used, with thresholds fixed at a false-accept rate of 0.1 %."""

    engine: OnnxEngine
    first: Crops
    second: Crops
    judges: tuple[Judge, ...]

    @classmethod
    def load(cls, data: Path, models: Path, model: Path, people: int) -> Setting:
        """people: how many, spread over those of the validation set that have two photos."""
        everyone = load_faces(data, "val")
        order = np.argsort(everyone.identities, kind="stable")
        _, starts, counts = np.unique(everyone.identities[order], return_index=True, return_counts=True)
        starts = starts[counts >= 2]
        if people > len(starts):
            raise SystemExit(f"--people: got {people}, takes at most {len(starts)}, who have two photos")
        chosen = starts[np.linspace(0, len(starts) - 1, people).astype(np.intp)]
        judges = tuple(Judge(name, models) for name, spec in JUDGES.items() if not spec.used_in_training)
        return cls(OnnxEngine(model), everyone.crops[order[chosen]], everyone.crops[order[chosen + 1]], judges)

    def matched(self, attack: str, a: Crops, b: Crops) -> list[Row]:
        """How many of a's faces each recogniser takes for the same row's person in b."""
        return [
            Row(attack, judge.name, int(judge.same(judge.embed(a), judge.embed(b)).sum()), len(a))
            for judge in self.judges
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """hits of pairs: how often an attack succeeded. goal: the largest share that the project promises, None for rows
    that are there to compare with."""

    attack: str
    judge: str
    hits: int
    pairs: int
    goal: float | None = None

    @property
    def share(self) -> float:
        return self.hits / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """The share's 95 % interval (Wilson): few pairs prove little, and a count of 0 is not a share of 0."""
        z, n, p = 1.96, self.pairs, self.share
        centre, spread = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)

    def to_mapping(self) -> dict[str, Any]:
        low, high = self.interval
        return {**asdict(self), "share": round(self.share, 6), "interval": [round(low, 6), round(high, 6)]}


def key_of(factors: Factors, salt: bytes) -> StyleKey:
    """The key of a stream under this salt."""
    return expand(derive_secret(factors, salt=salt, parameters=CHEAP), factors.attribute_vector())


def salt_of(number: int) -> bytes:
    """A salt a stream, the same in every run."""
    return b"attacks %08d" % number


def modify(engine: OnnxEngine, crops: Crops, keys: list[StyleKey]) -> Crops:
    """(N, 128, 128, 3) uint8 RGB, each under its own key -> the same shape."""
    made = [engine.modify(crop[None, ..., ::-1], key)[0, ..., ::-1] for crop, key in zip(crops, keys, strict=True)]
    return np.stack(made)
