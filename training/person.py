"""Whom a key asks for: coordinates of a face that fits what surrounds it, and those to be expected of the original.

Both are computed from what original and surrogate have in common, so both directions know them exactly. The linear part
is fitted in phase 1; the small networks beside it are trained with everything else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfm_edge.align import TEMPLATE
from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import COORDINATES
from training.style_space import StyleSpace, coarse_colour, coarse_luminance

__all__ = ["CONTEXT", "Context", "Person"]

CONTEXT = 144 + 72 + 10  # coarse luminance, coarse colour, landmarks
REACH = 1.0  # how far a coordinate may be drawn elsewhere than the key says, in standard deviations
HIDDEN = 256


class Context(nn.Module):
    """Crop (N,3,128,128) and landmarks (N,5,2) px -> (N,CONTEXT): what the key does not change."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        analysis, synthesis, rest = (torch.from_numpy(part) for part in (space.analysis, space.synthesis, space.rest))
        impersonal = torch.eye(len(analysis)) - analysis @ synthesis
        self.register_buffer("stays", impersonal @ (torch.eye(len(rest)) - rest @ rest.T), persistent=False)
        self.register_buffer("template", torch.tensor(TEMPLATE, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor, landmarks: Tensor) -> Tensor:
        light = coarse_luminance(x).flatten(1) @ self.stays
        return torch.cat([light, coarse_colour(x).flatten(1), (landmarks - self.template).flatten(1)], 1)


class Person(nn.Module):
    """Context (N,CONTEXT), person (N,COORDINATES) of the key and attributes (N,A) in -1..1 -> the coordinates expected
    of the original and those that are asked for, (N,COORDINATES) each."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        for name in ("context_mean", "context_spread", "expectation", "variety"):
            self.register_buffer(name, torch.from_numpy(getattr(space, name)), persistent=False)
        self.expect = nn.Sequential(nn.Linear(CONTEXT, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, COORDINATES))
        self.ask = nn.Sequential(
            nn.Linear(CONTEXT + 2 * COORDINATES + len(ATTRIBUTES), HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(), nn.Linear(HIDDEN, COORDINATES),
        )  # fmt: skip
        with torch.no_grad():
            for last in (self.expect[-1], self.ask[-1]):
                last.weight.zero_()
                last.bias.zero_()

    def expected(self, context: Tensor) -> Tensor:
        """Context (N,CONTEXT) -> the coordinates to be expected with it (N,COORDINATES)."""
        seen = self._whitened(context)
        return seen @ self.expectation + self.expect(seen)

    def forward(self, context: Tensor, person: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        expected = self.expected(context).detach()  # learned from real coordinates alone
        changed = self.ask(torch.cat([self._whitened(context), expected, person, attributes], 1))
        return expected, expected + person @ self.variety + REACH * torch.tanh(changed)

    def _whitened(self, context: Tensor) -> Tensor:
        return (context - self.context_mean) / self.context_spread

    def like(self, coordinates: Tensor, expected: Tensor) -> Tensor:
        """Coordinates of real people, and those expected in the place of each -> the persons to ask for, with no more
        than twice the usual distance from the mean."""
        person = (coordinates - expected) @ torch.linalg.inv(self.variety)
        radius = person.square().mean(1, keepdim=True).sqrt()
        return person * (2 / radius).clamp_max(1)
