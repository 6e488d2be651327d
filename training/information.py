"""Equations 8 to 18 of the paper as bounds that a training step can use: how much a face tells of whose it was.

c, the code of the original, is the embedding that the frozen recogniser gives of it, and z is the other face's: a step
has both anyway, and what pose and light two faces share is hardly in them. Each bound has a small network q, which
makes it as tight as it can while the modifier pulls where it should. training/README.md says where the paper's text
contradicts itself and what is done there.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Gaussian", "Information", "lower_bound", "surplus", "upper_bound"]

EMBEDDING = 128
PACE = 0.02  # at which the scale of embeddings follows those that training meets


class Gaussian(nn.Module):
    """q(a | b), a variational distribution: normal, its mean read off b by a small network, one spread a component.
    With `given` 0 it is q(a)."""

    def __init__(self, size: int, given: int, hidden: int = 256) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(given, hidden), nn.SiLU(), nn.Linear(hidden, size)) if given else None
        self.shift, self.log_spread = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        if self.mean is not None:
            with torch.no_grad():  # begin as a standard normal distribution, which all bounds take for knowing nothing
                self.mean[-1].weight.zero_()
                self.mean[-1].bias.zero_()

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """a (...,D), b (...,given) -> log q(a | b) in nats, (...)."""
        mean = self.shift if self.mean is None else self.shift + self.mean(b)
        return _log_normal((a - mean) * torch.exp(-self.log_spread)) - self.log_spread.sum()


def lower_bound(q: Gaussian, c: Tensor, z: Tensor, own: Tensor) -> Tensor:
    """Equations 12 and 18: I(c; z) >= H(c) + <log q(c | z)>, in nats.

    c (K,D): codes of K originals; z (N,D): codes of faces made of some of them; own (N,) int64: of which. H(c) is not
    known; the K originals stand for it: log K + <log q(c_own | z) - log sum_k q(c_k | z)>, which is below I(c; z)
    whatever q is (Poole et al. 2019, its equation 12), and at most log K.
    """
    return math.log(len(c)) - F.cross_entropy(q(c[None], z[:, None]), own)


def upper_bound(q: Gaussian, c: Tensor, z: Tensor) -> Tensor:
    """Equation 17, last line: I(c; z) <= <log p(z | c) / r(z)>, in nats, r a standard normal distribution and q for
    p(z | c). c, z (N,D)."""
    return (q(z, c) - _log_normal(z)).mean()


def surplus(marginal: Gaussian, z: Tensor) -> Tensor:
    """Equation 17, what its third line leaves out: KL(p(z) || r(z)) in nats, `marginal` for p(z). z (N,D)."""
    return (marginal(z) - _log_normal(z)).mean()


class Information(nn.Module):
    """The networks q. `terms` are for the modifier, `loss` is for themselves, on the same embeddings: of originals
    (N,D), of their surrogates (N,D), and of what the step's turn made of those that pick (M,) int64 names, (M,D)."""

    def __init__(self, size: int = EMBEDDING) -> None:
        super().__init__()
        self.anonymised, self.wrong, self.restored = (Gaussian(size, given=size) for _ in range(3))
        self.marginal = Gaussian(size, given=0)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("batches", torch.zeros(()))

    def terms(
        self, originals: Tensor, surrogates: Tensor, others: Tensor, pick: Tensor, turn: str
    ) -> dict[str, Tensor]:
        """What the modifier makes small, by the name of its weight."""
        c, z, other = (self._scaled(part) for part in (originals, surrogates, others))
        # Below 0 it is q that is wrong about a face: nothing that the modifier should be paid for.
        terms = {"information_anonymised": F.relu(lower_bound(self.anonymised, c, z, _every(z)))}
        if turn == "wrong key":
            terms["information_wrong"] = F.relu(lower_bound(self.wrong, c, other, pick))
        if turn == "right key":
            found = upper_bound(self.restored, c[pick], other) - surplus(self.marginal, other)
            terms["information_restored"] = -found
        return terms

    def loss(self, originals: Tensor, surrogates: Tensor, others: Tensor, pick: Tensor, turn: str) -> Tensor:
        """Makes the bounds tight: every q as likely as it can be."""
        self._follow(originals)
        c, z, other = (self._scaled(part.detach()) for part in (originals, surrogates, others))
        loss = -lower_bound(self.anonymised, c, z, _every(z))
        if turn == "wrong key":
            loss = loss - lower_bound(self.wrong, c, other, pick)
        if turn == "right key":
            loss = loss - (self.restored(other, c[pick]) + self.marginal(other)).mean()
        return loss

    @torch.no_grad()
    def _follow(self, originals: Tensor) -> None:
        self.batches += 1
        pace = (1 / self.batches).clamp_min(PACE)
        self.mean.lerp_(originals.mean(0), pace)
        self.square.lerp_(originals.square().mean(0), pace)

    def _scaled(self, embeddings: Tensor) -> Tensor:
        """To originals' mean and spread: r(z) is what restored faces should be distributed like."""
        spread = (self.square - self.mean.square()).clamp_min(1e-4).sqrt()
        return torch.where(self.batches > 0, (embeddings - self.mean) / spread, torch.zeros_like(embeddings))


def _log_normal(a: Tensor) -> Tensor:
    """Log density of a standard normal distribution, (...,D) -> (...)."""
    return -0.5 * (a.square() + math.log(2 * math.pi)).sum(-1)


def _every(z: Tensor) -> Tensor:
    return torch.arange(len(z), device=z.device)
