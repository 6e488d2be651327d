"""The last touch to restored faces."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.bands import Bands

__all__ = ["Finish"]


class Finish(nn.Module):
    """The last touch to a restored face: takes off what rounding, clipping and a codec left on it.

    Nothing has to be undone after it, so it may be any network; surrogates do not get it.
    """

    def __init__(self, bands: Bands, channels: int, width: int = 64) -> None:
        super().__init__()
        self.bands = bands
        self.narrow = nn.Conv2d(channels, 52, 1)
        self.trunk = nn.Sequential(
            nn.Conv2d(64, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=4, dilation=4), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
        )  # fmt: skip
        self.light = nn.Sequential(
            nn.Conv2d(width, 64, 1), nn.PixelShuffle(2), nn.SiLU(), nn.Conv2d(16, 1, 3, padding=1)
        )
        self.colour = nn.Conv2d(width, 2, 3, padding=1)
        with torch.no_grad():
            for last in (self.light[-1], self.colour):
                last.weight.zero_()
                last.bias.zero_()

    def forward(self, h: Tensor, face: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Features (N,256,24,24); coefficients of the face as restored and of what was expected -> change of its hidden
        part."""
        pictures = (self.bands.cells(*coefficients) for coefficients in (face, expected))
        seen = [torch.cat([F.pixel_unshuffle(light, 2), colour], 1) for light, colour in pictures]
        h = self.trunk(torch.cat([self.narrow(h), *seen], 1))
        return self.bands.hidden(*self.bands.coefficients(self.light(h), self.colour(h)))
