"""The last touch to restored faces."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.bands import COLOUR, Bands

__all__ = ["Finish"]

SEEN = 3 * 6 + COLOUR + 1  # three pictures, luminance of four cells and two of colour each, and levels of noise
LOUDER = 4.0  # pictures for layers that expect numbers of about 1
FAINT = 0.1  # what one of them adds


class Finish(nn.Module):
    """The last touch to a restored face: takes off what rounding, clipping and a codec left on it.

    Nothing has to be undone after it, so it may be any network; surrogates do not get it. It says how much of the
    noise that was found in the face's components comes off where, and what else has to change.
    """

    def __init__(self, bands: Bands, channels: int, width: int = 64) -> None:
        super().__init__()
        self.bands = bands
        self.narrow = nn.Conv2d(channels, width - SEEN, 1)
        self.stem = nn.Conv2d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList([_Block(width, dilation) for dilation in (2, 4)])
        self.light = nn.Sequential(
            nn.Conv2d(width, 64, 1), nn.PixelShuffle(2), nn.SiLU(), nn.Conv2d(16, 2, 3, padding=1)
        )
        self.colour = nn.Conv2d(width, 3, 3, padding=1)
        with torch.no_grad():
            for last in (self.light[-1], self.colour):
                last.weight.zero_()
                last.bias.zero_()
                last.bias[-1] = -2

    def forward(
        self,
        h: Tensor,
        face: tuple[Tensor, Tensor],
        expected: tuple[Tensor, Tensor],
        noise: tuple[Tensor, Tensor],
        levels: Tensor,
    ) -> list[Tensor]:
        """Features (N,256,24,24); coefficients of the face as restored, of what was expected, and of what seems to be
        noise; its levels (N,3) -> change of the face's hidden part."""
        pictures = [self.bands.cells(*coefficients) for coefficients in (face, expected, noise)]
        seen = [LOUDER * torch.cat([F.pixel_unshuffle(light, 2), colour], 1) for light, colour in pictures]
        noisy = levels[:, :, None, None].expand(-1, -1, *h.shape[2:])
        h = self.stem(torch.cat([self.narrow(h), *seen, noisy], 1))
        for block in self.blocks:
            h = block(h)
        light, colour = self.light(h), self.colour(h)
        noisy_light, noisy_colour = pictures[-1]
        light = FAINT * light[:, :1] - light[:, 1:].sigmoid() * noisy_light
        colour = FAINT * colour[:, :2] - colour[:, 2:].sigmoid() * noisy_colour
        return self.bands.hidden(*self.bands.coefficients(light, colour))


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for conv in (self.first, self.second):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.bias)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(F.silu(self.first(F.silu(h)))) / 2
