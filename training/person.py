"""Whom a key asks for: coordinates of a face that fits what surrounds it, and those to be expected of the original.

Both are computed from what original and surrogate have in common, so both directions know them exactly. That also tells
which attributes the original is likely to have: those that no factor asks for are to stay as in the input. The linear
part is fitted in phase 1; the small networks beside it are trained with everything else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfm_edge.align import TEMPLATE
from mfm_edge.factors import ATTRIBUTES, STAYS
from mfm_edge.style import COORDINATES
from training.bands import Bands
from training.style_space import StyleSpace
from training.tone import BRIGHTEST

__all__ = ["CONTEXT", "EMPHASIS", "KEPT", "LIGHT", "PLACES", "Context", "Person"]

LIGHT = 144
PLACES = LIGHT + 72
CONTEXT = PLACES + 10  # coarse luminance, then coarse colour, and from PLACES on landmarks
REACH = 1.0  # how far a coordinate may be drawn elsewhere than the key says, in standard deviations
HIDDEN = 256
EMPHASIS = 4.0  # how loudly attributes are told: key bits and surroundings drown what is told at 1
KEPT = torch.tensor(STAYS)
"""(A,) bool: which attributes stay as in the input when no factor asks for them."""


class Context(nn.Module):
    """Crop (N,3,128,128), landmarks (N,5,2) px and how the original is lit (N,LIGHTS) -> (N,CONTEXT): what both
    directions know."""

    def __init__(self, bands: Bands, space: StyleSpace) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("template", torch.tensor(TEMPLATE, dtype=torch.float32), persistent=False)
        self.register_buffer("light", torch.from_numpy(space.light_synthesis), persistent=False)

    def forward(self, x: Tensor, landmarks: Tensor, light_of_original: Tensor) -> Tensor:
        light, colour = self.bands.coarse(*self.bands.stays(*self.bands.split(x)))
        seen = torch.cat([light.flatten(1), colour.flatten(1), (landmarks - self.template).flatten(1)], 1)
        return self.lit(seen, light_of_original)

    def lit(self, context: Tensor, more: Tensor) -> Tensor:
        """Context (N,CONTEXT) and a change of light (N,LIGHTS) -> context under that light."""
        return torch.cat([context[:, :LIGHT] + more @ self.light, context[:, LIGHT:]], 1)


class Person(nn.Module):
    """Context (N,CONTEXT) of the original and under the surrogate's light, person (N,COORDINATES+SURROUNDINGS) of the
    key and attributes (N,A), as `attributes` gives them -> the coordinates expected of the original and those that are
    asked for, (N,COORDINATES) each. The latter rest on the surrogate's light alone: taken off by a wrong key, light is
    nobody's. They fit into surroundings that the key imagines: else all keys would ask for people who fit into the
    original's, who are alike."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        fitted = ("context_mean", "context_spread", "expectation", "variety", "surroundings", "analysis", "synthesis")
        for name in fitted:
            self.register_buffer(name, torch.from_numpy(getattr(space, name)), persistent=False)
        self.register_buffer("kept", KEPT.float(), persistent=False)
        self.expect = nn.Sequential(nn.Linear(CONTEXT, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, COORDINATES))
        self.guess = nn.Sequential(nn.Linear(CONTEXT, HIDDEN // 2), nn.SiLU(), nn.Linear(HIDDEN // 2, len(ATTRIBUTES)))
        self.ask = nn.Sequential(
            nn.Linear(CONTEXT + 2 * COORDINATES + len(ATTRIBUTES), HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(), nn.Linear(HIDDEN, COORDINATES),
        )  # fmt: skip
        with torch.no_grad():
            for last in (self.expect[-1], self.guess[-1], self.ask[-1]):
                last.weight.zero_()
                last.bias.zero_()

    def expected(self, context: Tensor) -> Tensor:
        """Context (N,CONTEXT) -> the coordinates to be expected with it (N,COORDINATES)."""
        seen = self._whitened(context)
        return seen @ self.expectation + self.expect(seen)

    def likely(self, context: Tensor) -> Tensor:
        """Context (N,CONTEXT) -> logits of the original's attributes (N,A)."""
        return self.guess(self._whitened(context))

    def attributes(self, context: Tensor, asked: Tensor) -> Tensor:
        """Context (N,CONTEXT) and what is asked for (N,A), -1, 0 or +1 -> what a face is to have (N,A), up to EMPHASIS:
        what is asked for, or else, of what is kept, what the original is likely to have. What is unsure is left to the
        key: it would change from frame to frame of a video."""
        likely = torch.tanh(self.likely(context).detach()) ** 3 * self.kept
        return EMPHASIS * torch.where(asked.abs() > 0.5, asked, likely)

    def forward(self, context: Tensor, shown: Tensor, person: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        expected = self.expected(context).detach()  # learned from real coordinates alone
        imagined, differs = self.imagined(shown, person), person[:, :COORDINATES]
        fits = self.expected(imagined).detach()
        changed = self.ask(torch.cat([self._whitened(imagined), fits, differs, attributes], 1))
        return expected, self._showable(shown, fits + differs @ self.variety + REACH * torch.tanh(changed))

    def imagined(self, context: Tensor, person: Tensor) -> Tensor:
        """Context (N,CONTEXT) -> the one into which the person (N,COORDINATES+SURROUNDINGS) is to fit."""
        return context + person[:, COORDINATES:] @ self.surroundings

    def _showable(self, context: Tensor, coordinates: Tensor) -> Tensor:
        """Coordinates (N,COORDINATES), moved by as much as makes a face too bright or too dark for a picture in its
        context: one clipped spot of a surrogate is noise all over the restored face."""
        for _ in range(2):  # coordinates are fewer than places: once takes about half of the excess away
            light = context[:, :LIGHT] + coordinates @ self.synthesis
            coordinates = coordinates - (light - light.clamp(-BRIGHTEST, BRIGHTEST)) @ self.analysis
        return coordinates

    def _whitened(self, context: Tensor) -> Tensor:
        return (context - self.context_mean) / self.context_spread

    def like(self, coordinates: Tensor, expected: Tensor) -> Tensor:
        """Coordinates of real people, and those expected in the place of each -> the persons to ask for, with no more
        than twice the usual distance from the mean."""
        person = (coordinates - expected) @ torch.linalg.inv(self.variety)
        radius = person.square().mean(1, keepdim=True).sqrt()
        return person * (2 / radius).clamp_max(1)
