"""Whose features are drawn: numbers of the key that mean to the network what a recogniser sees of a person.

They are the first of the key bits in the style code. Coordinates say what a face is like coarsely; without these
numbers all that is finer would be drawn as faces with such coordinates have it on average, much alike under all keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import IDENTITY

__all__ = ["IdentityInjection", "IdentitySpace"]

MAPS = 16  # that are widened to the latent's channels


@dataclass(frozen=True, slots=True)
class IdentitySpace:
    """expected (A+1, 128) float32: attributes as labelled, 0 or 1, and a 1 -> the embedding to be expected;
    analysis (128, IDENTITY) float32: what an embedding has beyond that -> numbers, of unit variance over people."""

    expected: Tensor
    analysis: Tensor

    def numbers(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Embeddings (N,128) of photographs in a straight view and their attributes (N,A) bool -> (N,IDENTITY)."""
        known = F.pad(labels.float(), (0, 1), value=1.0)
        return (embedding - known @ self.expected) @ self.analysis

    def to(self, device: torch.device) -> IdentitySpace:
        return IdentitySpace(self.expected.to(device), self.analysis.to(device))


class IdentityInjection(nn.Module):
    """Numbers (N,IDENTITY) -> what they add to the latent (N,channels,side,side), and to the gains and offsets of every
    block (N,2*features) each. Nothing for zeros, as an original's style code has them: whose photograph it is nobody
    knows who restores it."""

    def __init__(self, channels: int, side: int, features: int, blocks: int) -> None:
        super().__init__()
        self.side, self.blocks = side, blocks
        self.read = nn.Linear(IDENTITY, 2 * features, bias=False)
        self.modulate = nn.Linear(2 * features, 2 * features * blocks, bias=False)
        self.draw = nn.Linear(IDENTITY, MAPS * side**2, bias=False)
        self.widen = nn.Conv2d(MAPS, channels, 1, bias=False)
        with torch.no_grad():
            self.modulate.weight.zero_()
            self.widen.weight.zero_()

    def forward(self, identity: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        maps = F.silu(self.draw(identity)).view(-1, MAPS, self.side, self.side)
        return self.widen(maps), self.modulate(F.silu(self.read(identity))).chunk(self.blocks, 1)
