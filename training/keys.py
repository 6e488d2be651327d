"""Random keys in batches, as mfm_edge.style.expand makes them one by one from secrets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import BANDS, COORDINATES, STYLE_SIZE, signature

__all__ = ["Keys", "random_attributes", "random_keys"]


class Keys:
    """rotation (N,C,C) and signatures (N,1024) of both directions, attributes (N,A) in {-1,0,+1}."""

    def __init__(self, rotation: Tensor, bits: np.ndarray, attributes: np.ndarray) -> None:
        self.rotation = rotation
        self.attributes = torch.from_numpy(attributes)
        self.anonymise = torch.from_numpy(signature(bits, attributes))
        self.restore = torch.from_numpy(signature(bits, attributes, restore=True))


HAIR_COLOURS = 4  # the first entries of ATTRIBUTES exclude each other


def random_attributes(n: int, rng: np.random.Generator, share: float = 0.5) -> np.ndarray:
    """(n, A) float32: in `share` of the rows one attribute is asked for, on or off; the others are as in the input."""
    wanted = np.zeros((n, len(ATTRIBUTES)), np.float32)
    rows = np.flatnonzero(rng.random(n) < share)
    wanted[rows, rng.integers(0, len(ATTRIBUTES), len(rows))] = rng.choice([-1.0, 1.0], len(rows))
    # Hair has one colour: asking for blond asks the three others away, as Factors.attribute_vector does.
    hair = rows[np.any(wanted[rows, :HAIR_COLOURS] != 0, axis=1)]
    wanted[hair, :HAIR_COLOURS] = np.where(wanted[hair, :HAIR_COLOURS] != 0, 1.0, -1.0)
    return wanted


def random_keys(n: int, rng: np.random.Generator, *, attributes: np.ndarray | None = None) -> Keys:
    rotation = torch.zeros(n, COORDINATES, COORDINATES)
    start = 0
    for size in BANDS:
        q, r = torch.linalg.qr(torch.from_numpy(rng.standard_normal((n, size, size)).astype(np.float32)))
        band = slice(start, start + size)
        rotation[:, band, band] = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
        start += size
    wanted = np.zeros((n, len(ATTRIBUTES)), np.float32) if attributes is None else attributes
    return Keys(rotation, rng.random((n, STYLE_SIZE)) < 0.5, wanted)
