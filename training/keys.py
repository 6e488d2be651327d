"""Random keys in batches, as mfm_edge.style.expand makes them one by one from secrets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import (
    BANDS,
    COORDINATES,
    DETAILS,
    LIGHTS,
    NEIGHBOURS,
    STYLE_SIZE,
    SURROUNDINGS,
    original_signature,
    shuffled,
    signature,
)

__all__ = ["Keys", "random_attributes", "random_keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """N keys as mfm_edge.style.StyleKey has them one by one: rotation (N,C,C), person (N,C+S), light (N,L), order,
    signs and mark (N,DETAILS), signature_from and signature_to (N,1024); and attributes (N,A) in {-1,0,+1}."""

    rotation: Tensor
    person: Tensor
    light: Tensor
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
        return Keys(rotation, self.person, -self.light, back, signs, self.mark, *signatures, self.attributes)

    def __getitem__(self, index: Tensor | slice) -> Keys:
        return Keys(*(getattr(self, name)[index] for name in self.__slots__))

    def to(self, device: torch.device) -> Keys:
        return Keys(*(getattr(self, name).to(device) for name in self.__slots__))

    def style_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the style encoder takes beside the faces and their landmarks."""
        return self.rotation, self.person, self.light, self.signature_from, self.signature_to

    def scramble(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder takes of a key."""
        return self.order, self.signs, self.mark

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the modifier takes beside the faces and their landmarks."""
        return self.rotation, self.person, self.light, *self.scramble(), self.signature_from, self.signature_to


HAIR_COLOURS = 4  # the first entries of ATTRIBUTES exclude each other


def random_attributes(
    n: int, labels: NDArray[np.bool_], rng: np.random.Generator, *, share: float = 0.75, more: float = 0.2
) -> NDArray[np.float32]:
    """(n, A) in {-1,0,+1}: what factors ask for in `share` of the rows, nothing in the others.

    One attribute, on or off, each as often as any other; and `more` of what else some person is who has it, out of
    labels (P, A): people who exist, so that nobody is asked for a beard and the face of a woman.
    """
    asked = np.zeros((n, len(ATTRIBUTES)), np.float32)
    for row in np.flatnonzero(rng.random(n) < share):
        first = rng.integers(len(ATTRIBUTES))
        wanted = bool(first < HAIR_COLOURS or rng.random() < 0.5)
        alike = labels[labels[:, first] == wanted]
        also = rng.random(len(ATTRIBUTES)) < more
        also[:HAIR_COLOURS] = False
        if len(alike):
            asked[row] = np.where(also, 2.0 * alike[rng.integers(len(alike))] - 1, 0)
        asked[row, first] = 1 if wanted else -1
        if first < HAIR_COLOURS:  # hair has one colour: Factors.attribute_vector asks the others away, too
            asked[row, :HAIR_COLOURS] = np.where(np.arange(HAIR_COLOURS) == first, 1, -1)
    return asked


def random_keys(n: int, rng: np.random.Generator, *, attributes: np.ndarray | None = None) -> Keys:
    rotation = torch.zeros(n, COORDINATES, COORDINATES)
    start = 0
    for size in BANDS:
        q, r = torch.linalg.qr(torch.from_numpy(rng.standard_normal((n, size, size)).astype(np.float32)))
        band = slice(start, start + size)
        rotation[:, band, band] = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
        start += size
    wanted = np.zeros((n, len(ATTRIBUTES)), np.float32) if attributes is None else attributes
    person, light = (
        torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), (n, size)))
        for size in (COORDINATES + SURROUNDINGS, LIGHTS)
    )
    order = torch.from_numpy(shuffled(rng.random((n, DETAILS // NEIGHBOURS, NEIGHBOURS))))
    signs, mark = torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), (2, n, DETAILS)))
    original = torch.from_numpy(original_signature()).expand(n, -1)
    coded = torch.from_numpy(signature(rng.random((n, STYLE_SIZE)) < 0.5, wanted))
    return Keys(rotation, person, light, order, signs, mark, original, coded, torch.from_numpy(wanted))
