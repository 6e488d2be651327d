"""What an attacker makes with the network and faces of their own: pictures under random keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfm_edge.engine.onnx import OnnxEngine
from training.data import FaceSet
from training.experiments.subject import Crops, modify, random_keys

__all__ = ["Pairs", "make_pairs"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """x: originals; y: anonymised; r: restored with the right key; w: with another; (N, 128, 128, 3) uint8 RGB each."""

    x: Crops
    y: Crops
    r: Crops
    w: Crops


def make_pairs(engine: OnnxEngine, known: FaceSet, rng: np.random.Generator) -> Pairs:
    """A key for every eight faces."""
    x, places = known.crops, known.landmarks
    count = -(-len(x) // 8)
    right, wrong = random_keys(count, rng), random_keys(count, rng)
    y = modify(engine, x, places, right)
    r = modify(engine, y, places, [key.inverse() for key in right])
    return Pairs(x, y, r, modify(engine, y, places, [key.inverse() for key in wrong]))
