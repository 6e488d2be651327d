"""The style encoder: the person's coarse features as a picture in the style code, turned by the key, and read again."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import BLOCK, COORDINATES, DIRECTION_CELLS, PLANE, STYLE_SIZE, signature_cells
from training.bands import BLOCKS
from training.style_space import StyleSpace, border, coarse_luminance, window

__all__ = ["StyleEncoder", "StyleReader"]

# Distance of a surrogate's coordinates from the mean, in units of the usual one: this much at the usual distance of the
# original, and growing with this power of it.
SURROGATE_RADIUS, EVENED = 1.1, 0.5
STYLE_GAIN = 2.0  # the picture in the style code against luminance in -1..1, so that it weighs as much as the key bits


class StyleReader(nn.Module):
    """Takes a style code apart: whether it is a surrogate's, the picture, and the code without that sign."""

    def __init__(self) -> None:
        super().__init__()
        cells = torch.from_numpy(signature_cells())
        inside, direction = torch.ones(STYLE_SIZE), torch.zeros(STYLE_SIZE)
        inside[cells] = 0
        direction[cells[:DIRECTION_CELLS]] = 1 / DIRECTION_CELLS
        self.register_buffer("inside", inside.view(1, STYLE_SIZE), persistent=False)
        self.register_buffer("direction", direction.view(STYLE_SIZE, 1), persistent=False)

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """style (N,1024) -> sign (N,1), +1 for surrogates and -1 for originals; picture (N,1,12,12)."""
        sign = style @ self.direction
        picture = (style * self.inside / STYLE_GAIN).view(-1, 1, PLANE, PLANE)
        return sign, F.avg_pool2d(window(picture, 4), BLOCK // 4)


class StyleEncoder(nn.Module):
    """Crop, rotation (N,C,C) and the signatures (N,1024) of the face that comes in and of the one that goes out ->
    their style codes, (N,1024) each.

    Reads the face's coordinates in the style space, turns them by the key and draws both as pictures. How far a face
    lies from the mean is evened out in surrogates, so that odd light makes no odd surrogate, and comes back when they
    are turned back. Nothing is trained: fitted in phase 1.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        blocks = torch.from_numpy(space.synthesis).view(-1, 1, BLOCKS, BLOCKS)
        cells = F.interpolate(blocks, scale_factor=BLOCK // 4)
        self.register_buffer("analysis", torch.from_numpy(space.analysis), persistent=False)
        self.reader = StyleReader()
        self.register_buffer("pictures", STYLE_GAIN * F.pad(cells, border(4)).flatten(1), persistent=False)

    def coordinates(self, x: Tensor) -> Tensor:
        """(N,3,128,128) -> (N,COORDINATES), of about unit variance over faces."""
        return coarse_luminance(x).flatten(1) @ self.analysis

    def draw(self, coordinates: Tensor, signature: Tensor) -> Tensor:
        """Coordinates (N,COORDINATES) and signature (N,1024) -> style code (N,1024)."""
        return coordinates @ self.pictures + signature

    def forward(
        self, x: Tensor, rotation: Tensor, signature_from: Tensor, signature_to: Tensor
    ) -> tuple[Tensor, Tensor]:
        c = self.coordinates(x)
        return self.draw(c, signature_from), self.draw(self.turn(c, rotation, signature_to), signature_to)

    def turn(self, coordinates: Tensor, rotation: Tensor, signature_to: Tensor) -> Tensor:
        """Coordinates of the face that comes in -> those of the one that goes out, (N,COORDINATES) each."""
        radius = coordinates.square().sum(1, keepdim=True).add(1e-6).sqrt()
        usual = math.sqrt(COORDINATES)
        evened = SURROGATE_RADIUS * usual * (radius / usual) ** EVENED
        restored = usual * (radius / (SURROGATE_RADIUS * usual)) ** (1 / EVENED)
        surrogate = (signature_to @ self.reader.direction) > 0
        return (rotation @ coordinates[:, :, None]).squeeze(2) * torch.where(surrogate, evened, restored) / radius
