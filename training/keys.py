"""Random keys in batches, as mfm_edge.style.expand makes them one by one from secrets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import BANDS, COORDINATES, DETAILS, NEIGHBOURS, STYLE_SIZE, original_signature, shuffled, signature

__all__ = ["Keys", "random_attributes", "random_keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """N keys as mfm_edge.style.StyleKey has them one by one: rotation (N,C,C), person (N,C), order, signs and
    mark (N,DETAILS), signature_from and signature_to (N,1024); and attributes (N,A) in {-1,0,+1}."""

    rotation: Tensor
    person: Tensor
    order: Tensor
    signs: Tensor
    mark: Tensor
    signature_from: Tensor
    signature_to: Tensor
    attributes: Tensor

    def inverse(self) -> Keys:
        """The keys that restore what these anonymise."""
        back = self.order.argsort(1)
        signs = self.signs.gather(1, back)
        rotation = self.rotation.transpose(1, 2)
        signatures = self.signature_to, self.signature_from
        return Keys(rotation, self.person, back, signs, self.mark, *signatures, self.attributes)

    def __getitem__(self, index: Tensor | slice) -> Keys:
        return Keys(*(getattr(self, name)[index] for name in self.__slots__))

    def to(self, device: torch.device) -> Keys:
        return Keys(*(getattr(self, name).to(device) for name in self.__slots__))

    def style_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the style encoder takes beside the faces and their landmarks."""
        return self.rotation, self.person, self.signature_from, self.signature_to

    def scramble(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder takes of a key."""
        return self.order, self.signs, self.mark

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the modifier takes beside the faces and their landmarks."""
        return self.rotation, self.person, *self.scramble(), self.signature_from, self.signature_to


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
    person = torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), (n, COORDINATES)))
    order = torch.from_numpy(shuffled(rng.random((n, DETAILS // NEIGHBOURS, NEIGHBOURS))))
    signs, mark = torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), (2, n, DETAILS)))
    original = torch.from_numpy(original_signature()).expand(n, -1)
    coded = torch.from_numpy(signature(rng.random((n, STYLE_SIZE)) < 0.5, wanted))
    return Keys(rotation, person, order, signs, mark, original, coded, torch.from_numpy(wanted))
