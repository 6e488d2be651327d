"""The style encoder: the person's coarse features as a picture in the style code, turned by the key, and read again."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import (
    BLOCK,
    CELLS_AN_ATTRIBUTE,
    DIRECTION_CELLS,
    IDENTITY,
    KEY_BIT,
    PLANE,
    STYLE_SIZE,
    signature_cells,
)
from training.bands import BLOCKS, Bands
from training.person import Context, Person
from training.style_space import StyleSpace, border, window

__all__ = ["OUTSPOKEN", "StyleEncoder", "StyleReader"]

FAINT = 0.4  # of the original's coordinates in a surrogate's; their noise grows by the inverse of it when restored
FURTHEST = 3.0  # from what was expected, in usual distances from the mean
OUTSPOKEN = 2.4  # how far out an identity lies that a key asks for, against people's standard deviation
STYLE_GAIN = 2.0  # the picture in the style code against luminance in -1..1, so that it weighs as much as the key bits


class StyleReader(nn.Module):
    """Takes a style code apart: the picture, whether it is a surrogate's, what attributes it asks for, and whom."""

    def __init__(self) -> None:
        super().__init__()
        cells = torch.tensor(signature_cells())
        inside, direction = torch.ones(STYLE_SIZE), torch.zeros(STYLE_SIZE)
        inside[cells] = 0
        direction[cells[:DIRECTION_CELLS]] = 1 / DIRECTION_CELLS
        self.register_buffer("inside", inside.view(1, STYLE_SIZE), persistent=False)
        self.register_buffer("direction", direction.view(STYLE_SIZE, 1), persistent=False)
        wide = CELLS_AN_ATTRIBUTE * len(ATTRIBUTES)
        own = cells[DIRECTION_CELLS:][:wide].view(len(ATTRIBUTES), CELLS_AN_ATTRIBUTE)
        self.register_buffer("whose", cells[DIRECTION_CELLS + wide :][:IDENTITY].clone(), persistent=False)
        self.register_buffer("asked", own[:, 0].clone(), persistent=False)
        self.register_buffer("places", torch.zeros(len(own), STYLE_SIZE).scatter_(1, own, 1.0), persistent=False)

    def forward(self, style: Tensor) -> Tensor:
        """style (N,1024) -> picture (N,1,12,12)."""
        picture = (style * self.inside / STYLE_GAIN).view(-1, 1, PLANE, PLANE)
        return F.avg_pool2d(window(picture, 4), BLOCK // 4)

    def surrogate(self, style: Tensor) -> Tensor:
        """Style code or signature (N,1024) -> whether it is a surrogate's (N,1) bool; else an original's."""
        return style @ self.direction > 0

    def attributes(self, signature: Tensor) -> Tensor:
        """Signature (N,1024) -> the attributes that it asks for (N,A), -1, 0 or +1; an original's asks for none."""
        return signature.index_select(1, self.asked)

    def identity(self, style: Tensor) -> Tensor:
        """Style code or signature (N,1024) -> the numbers (N,IDENTITY) that say whose features are drawn, +OUTSPOKEN or
        -OUTSPOKEN for a key; zeros for an original."""
        return OUTSPOKEN / KEY_BIT * style.index_select(1, self.whose)

    def depict(self, signature: Tensor, identity: Tensor) -> Tensor:
        """Signature (N,1024) that gives these numbers (N,IDENTITY) instead of its own."""
        return signature.index_copy(1, self.whose, KEY_BIT / OUTSPOKEN * identity)

    def describe(self, signature: Tensor, attributes: Tensor) -> Tensor:
        """Signature (N,1024) that tells these attributes (N,A) instead of those that it asks for."""
        return signature + (attributes - self.attributes(signature)) @ self.places


class StyleEncoder(nn.Module):
    """Crop, landmarks, key and the signatures (N,1024) of the face that comes in and of the one that goes out -> three
    style codes, (N,1024) each: theirs, and that of the face to show instead where the key turns out to be wrong.

    Reads the face's coordinates in the style space, and how it is lit. A surrogate's coordinates are those of a person
    whom the key asks for, and in them, faintly and turned by the key, how the original differs from what was to be
    expected. Its light is the original's, moved by the key; a wrong key leaves the surrogate's light alone.
    """

    def __init__(self, space: StyleSpace, bands: Bands) -> None:
        super().__init__()
        blocks = torch.from_numpy(np.concatenate([space.synthesis, space.light_synthesis])).view(-1, 1, BLOCKS, BLOCKS)
        cells = F.interpolate(blocks, scale_factor=BLOCK // 4)
        self.reader = StyleReader()
        self.bands = bands
        self.context = Context(bands, space)
        self.person = Person(space)
        self.register_buffer("light_analysis", torch.from_numpy(space.light_analysis), persistent=False)
        for name, end in zip(("darkest", "brightest"), space.light_range, strict=True):
            self.register_buffer(name, torch.from_numpy(end), persistent=False)
        self.register_buffer("pictures", STYLE_GAIN * F.pad(cells, border(4)).flatten(1), persistent=False)

    def coordinates(self, x: Tensor) -> Tensor:
        """(N,3,128,128) -> (N,COORDINATES), of about unit variance over faces."""
        return self._coarse(x) @ self.person.analysis

    def light(self, x: Tensor) -> Tensor:
        """(N,3,128,128) -> how the face is lit (N,LIGHTS)."""
        return self._coarse(x) @ self.light_analysis

    def _coarse(self, x: Tensor) -> Tensor:
        return self.bands.coarse(*self.bands.split(x))[0].flatten(1)

    def relight(self, lit: Tensor, change: Tensor) -> Tensor:
        """How a face is lit (N,LIGHTS) and a key's change of it (N,LIGHTS) -> how it is lit then: about so much more in
        the middle of what faces have, less towards its ends, and what lies beyond them stays. The opposite change is
        the exact inverse.

        Were it just added, bright faces would be clipped, and a wrong key, which takes off what was not added, would
        make light that no face has.
        """
        width = self.brightest - self.darkest
        share, odds = (lit - self.darkest) / width, torch.exp(4 / width * change)
        moved = self.darkest + width * share * odds / (1 + share * (odds - 1))
        return torch.where((share > 0) & (share < 1), moved, lit)

    def draw(self, coordinates: Tensor, light: Tensor, signature: Tensor) -> Tensor:
        """Coordinates (N,COORDINATES), light (N,LIGHTS) and signature (N,1024) -> style code (N,1024)."""
        return torch.cat([coordinates, light], 1) @ self.pictures + signature

    def forward(
        self,
        x: Tensor,
        landmarks: Tensor,
        rotation: Tensor,
        person: Tensor,
        light: Tensor,
        signature_from: Tensor,
        signature_to: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = self.coordinates(x)
        surrogate = self.reader.surrogate(signature_to)
        lit_from = self.light(x)
        lit_to = self.relight(lit_from, light)
        lit_original, lit_shown = (torch.where(surrogate, a, b) for a, b in ((lit_from, lit_to), (lit_to, lit_from)))
        context = self.context(x, landmarks, lit_original)
        shown = self.context.lit(context, lit_shown - lit_original)
        described_from, described_to = (
            self.reader.describe(s, self.person.attributes(shown, self.reader.attributes(s)))
            for s in (signature_from, signature_to)
        )
        described = torch.where(surrogate, described_to, described_from)
        expected, asked = self.person(context, shown, person, self.reader.attributes(described))
        anonymised = asked + FAINT * _turn(rotation, own - expected)
        restored = expected + _within(_turn(rotation, own - asked) / FAINT)
        to = torch.where(surrogate, anonymised, restored)
        return (
            self.draw(own, lit_from, described_from),
            self.draw(to, lit_to, described_to),
            self.draw(asked, lit_shown, described),
        )


def _turn(rotation: Tensor, coordinates: Tensor) -> Tensor:
    return (rotation @ coordinates[:, :, None]).squeeze(2)


def _within(coordinates: Tensor) -> Tensor:
    """No further from the mean than any face: further away lies what a wrong key makes."""
    radius = coordinates.square().mean(1, keepdim=True).add(1e-6).sqrt()
    return coordinates * (FURTHEST / radius).clamp_max(1)
