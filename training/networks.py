"""The Multi-factor Modifier: content encoder, style encoder, repeat-and-add, decoder (paper section 3.1, Figure 3).

Three changes against the paper, each measured first (see training/README.md):
- the decoder's output is a residual on the input crop, in a part of the picture that the encoder never sees: the same
  residual is found again from the surrogate and taken off, so restoring is exact and needs no training;
- the style code is a picture: the change of the face's thumbnail that the key asks for, drawn by the style encoder;
- only the 96x96 window around the face is computed, so what lies outside it is never touched and costs nothing.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import DIRECTION_CELLS, PLANE, STYLE_SIZE, signature_cells
from mfm_edge.types import WINDOW
from training.style_space import StyleSpace, luminance, thumbnail

__all__ = ["ContentEncoder", "Decoder", "Modifier", "StyleEncoder", "repeat_add"]

LATENT_CHANNELS = 256
TOP, LEFT, SIDE = WINDOW  # multiples of a latent cell (4 px)
RAMP = 8  # px over which the change fades to nothing at the window's border


def repeat_add(content: Tensor, style: Tensor) -> Tensor:
    """Repeat the style code over all channels and add it to the content latent: (N,256,32,32) + (N,1024)."""
    return content + style.view(-1, 1, PLANE, PLANE)


class Block(nn.Module):
    """Bottleneck residual block 256 -> 64 -> 256; with `style`, features are modulated by the style code."""

    def __init__(self, dilation: int = 1, style: bool = False) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(LATENT_CHANNELS, 64, 1)
        self.conv = nn.Conv2d(64, 64, 3, padding=dilation, dilation=dilation)
        self.expand = nn.Conv2d(64, LATENT_CHANNELS, 1)
        with torch.no_grad():
            self.expand.weight.mul_(0.3)
            self.expand.bias.zero_()
        self.modulate = nn.Sequential(nn.Linear(STYLE_SIZE, 128), nn.SiLU(), nn.Linear(128, 128)) if style else None

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        h = self.reduce(x)  # (N,64,24,24)
        if self.modulate is not None:
            scale, shift = self.modulate(code)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return x + self.expand(F.silu(self.conv(F.silu(h))))


class Lifting(nn.Module):
    """The fixed linear algebra that makes the modifier exactly invertible: it never sees what it changes.

    A crop's window is split on a 48x48 grid (2 px cells). The *free* part is what the network may change: the luminance
    on that grid but for the means of 16 px cells and the coordinates of the style space. Colour stays. The content
    encoder sees the window without its free part, moved half way along the change of coordinates: the same picture from
    the original and from the surrogate. So the change it decides on is the same in both directions, added in one and
    subtracted in the other.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        cells = SIDE // 4  # 24
        fine = SIDE // 2  # 48
        patterns, reading = torch.from_numpy(space.synthesis), torch.from_numpy(space.analysis)
        up_cells = _exact_upsampling(cells, fine)  # (48,24)
        coarse = SIDE // COARSE_CELL  # 6
        up_means = _exact_upsampling(coarse, fine)  # (48,6)
        drawn = (up_cells @ _window(patterns.view(-1, 1, PLANE, PLANE), 4).squeeze(1) @ up_cells.T).flatten(
            1
        )  # (64,2304)
        read = (
            _window(reading.T.reshape(-1, 1, PLANE, PLANE), 4)
            .squeeze(1)
            .repeat_interleave(2, 1)
            .repeat_interleave(2, 2)
            .flatten(1)
            / 4
        )  # (64,2304)
        means = torch.eye(coarse**2).view(-1, coarse, coarse)
        drawn_means = (up_means @ means @ up_means.T).flatten(1)  # (36,2304)
        cell = fine // coarse
        read_means = means.repeat_interleave(cell, 1).repeat_interleave(cell, 2).flatten(1) / cell**2
        kept, readings = torch.cat([drawn_means, drawn]).double(), torch.cat([read_means, read]).double()
        undo = torch.linalg.solve(
            (readings @ kept.T).T, kept
        )  # (100,2304): readings -> the kept part with those readings
        for name, value in {
            "up_window": _exact_upsampling(fine, SIDE),  # (96,48)
            "up_cells": up_cells,
            "readings": readings.float().T.contiguous(),
            "undo": undo.float(),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def free(self, field: Tensor) -> Tensor:
        """The free part of a luminance field on the grid, (N,1,48,48): a linear projection."""
        flat = field.flatten(1)
        return (flat - (flat @ self.readings) @ self.undo).view_as(field)

    def luminance(self, window: Tensor) -> Tensor:
        """Window (N,3,96,96) -> luminance field on the grid (N,1,48,48)."""
        return F.avg_pool2d(luminance(window), 2)

    def draw(self, plane: Tensor) -> Tensor:
        """Picture in the style plane (N,1,32,32), luminance in -1..1 -> field on the grid (N,1,48,48)."""
        return self.up_cells @ _window(plane, 4) @ self.up_cells.T

    def to_window(self, field: Tensor) -> Tensor:
        """Field on the grid (N,C,48,48) -> pixels of the window (N,C,96,96), smooth, with exactly those 2 px means."""
        return self.up_window @ field @ self.up_window.T


COARSE_CELL = 16  # px; the means of such cells stay, so light and shade come from the input


def _exact_upsampling(small: int, large: int) -> Tensor:
    """(large, small): linear interpolation, sharpened so that averaging its result gives the input back exactly."""
    linear = F.interpolate(torch.eye(small)[None], size=large, mode="linear", align_corners=False)[0].T
    average = torch.eye(small).repeat_interleave(large // small, 1) / (large // small)
    return (linear.double() @ torch.linalg.inv((average @ linear).double())).float()


def _window(x: Tensor, cell: int) -> Tensor:
    top, left, side = TOP // cell, LEFT // cell, SIDE // cell
    return x[:, :, top : top + side, left : left + side]


def _border(cell: int) -> tuple[int, int, int, int]:
    left, top, side, size = LEFT // cell, TOP // cell, SIDE // cell, 128 // cell
    return left, size - left - side, top, size - top - side


STYLE_GAIN = 2.0  # the picture in the style code against luminance in -1..1, so that it weighs as much as the key bits


class StyleReader(nn.Module):
    """Takes a style code apart: direction, picture of the change, and the code without its direction."""

    def __init__(self) -> None:
        super().__init__()
        cells = torch.from_numpy(signature_cells())
        inside, direction = torch.ones(STYLE_SIZE), torch.zeros(STYLE_SIZE)
        inside[cells] = 0
        direction[cells[:DIRECTION_CELLS]] = 1 / DIRECTION_CELLS
        self.register_buffer("inside", inside.view(1, STYLE_SIZE), persistent=False)
        self.register_buffer("direction", direction.view(STYLE_SIZE, 1), persistent=False)

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """style (N,1024) -> sign (N,1,1,1), +1 to anonymise and -1 to restore; picture (N,1,32,32); code (N,1024)."""
        sign = (style @ self.direction).view(-1, 1, 1, 1)
        picture = (style * self.inside / STYLE_GAIN).view(-1, 1, PLANE, PLANE)
        return sign, picture, style * (self.direction.T == 0)


class ContentEncoder(nn.Module):
    """(N,3,128,128) RGB in -1..1 and style code (N,1024) -> (N,256,32,32), zero outside the window.

    Its mean over channels is zero, which makes the repeat-and-add transparent: the mean over channels of the sum is the
    style code itself.
    """

    def __init__(self, lifting: Lifting) -> None:
        super().__init__()
        self.lifting = lifting
        self.reader = StyleReader()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 32, 3, padding=1),  # (N,32,48,48)
            nn.SiLU(),
            nn.PixelUnshuffle(2),
            nn.Conv2d(128, LATENT_CHANNELS, 1),  # (N,256,24,24)
        )
        self.blocks = nn.Sequential(Block(1), Block(2))

    def visible(self, x: Tensor, style: Tensor) -> Tensor:
        """What the network may see of a crop's window, (N,3,96,96): the same from original and surrogate."""
        sign, picture, _ = self.reader(style)
        window = _window(x, 1)
        free = self.lifting.free(self.lifting.luminance(window))
        return window + self.lifting.to_window(0.5 * sign * self.lifting.draw(picture) - free)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        z = self.blocks(self.stem(self.visible(x, style)))
        z = z - z.mean(1, keepdim=True)
        return F.pad(z, _border(4))


class Decoder(nn.Module):
    """(N,256,32,32) summed latent and (N,3,128,128) input crop -> (N,3,128,128) RGB in -1..1."""

    def __init__(self, lifting: Lifting) -> None:
        super().__init__()
        self.lifting = lifting
        self.reader = StyleReader()
        self.blocks = nn.ModuleList([Block(d, style=True) for d in (1, 2, 4, 1, 2)])
        self.up = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 192, 1), nn.PixelShuffle(2), nn.SiLU())  # (N,48,48,48)
        self.detail = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1), nn.SiLU(), nn.Conv2d(48, 1, 3, padding=1))
        with torch.no_grad():
            self.detail[-1].weight.mul_(0.1)
            self.detail[-1].bias.zero_()
        axis = torch.arange(SIDE // 2) + 0.5
        edge = torch.minimum(axis, SIDE // 2 - axis).clamp(max=RAMP // 2) / (RAMP // 2)
        self.register_buffer("ramp", edge[:, None] * edge[None, :], persistent=False)

    def forward(self, latent: Tensor, x: Tensor) -> Tensor:
        sign, picture, code = self.reader(latent.mean(1).flatten(1))  # the style code, read back
        h = _window(latent, 4)
        for block in self.blocks:
            h = block(h, code)
        free = self.lifting.free(self.detail(self.up(h)) * self.ramp)  # (N,1,48,48)
        change = self.lifting.to_window(free + self.lifting.draw(picture))
        y = x + F.pad(sign * change, _border(1))
        return y if self.training else y.clamp(-1, 1)


class StyleEncoder(nn.Module):
    """Crop, rotation (N,C,C) and signature (N,1024) -> style code (N,1024).

    Reads the face's coordinates in the style space, turns them by the key and draws the change as a picture, always in
    the direction from the original to the surrogate. Linear in the crop, so turning back is exact. Fitted in phase 1.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        self.register_buffer("analysis", torch.from_numpy(space.analysis), persistent=False)
        self.register_buffer("synthesis", torch.from_numpy(space.synthesis), persistent=False)
        self.reader = StyleReader()

    def coordinates(self, x: Tensor) -> Tensor:
        """(N,3,128,128) -> (N,COORDINATES), of about unit variance over faces."""
        return thumbnail(x).flatten(1) @ self.analysis

    def draw(self, change: Tensor, signature: Tensor) -> Tensor:
        """Change of coordinates (N,COORDINATES) of this crop and signature (N,1024) -> style code (N,1024)."""
        sign = (signature @ self.reader.direction).view(-1, 1)
        return STYLE_GAIN * sign * change @ self.synthesis + signature

    def forward(self, x: Tensor, rotation: Tensor, signature: Tensor) -> Tensor:
        c = self.coordinates(x)
        turned = (rotation @ c[:, :, None]).squeeze(2)
        return self.draw(turned - c, signature)


class Modifier(nn.Module):
    """The whole network, both directions."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        space = windowed(space)
        lifting = Lifting(space)
        self.style_encoder = StyleEncoder(space)
        self.content_encoder = ContentEncoder(lifting)
        self.decoder = Decoder(lifting)

    def forward(self, x: Tensor, rotation: Tensor, signature: Tensor) -> Tensor:
        return self.modify(x, self.style_encoder(x, rotation, signature))

    def modify(self, x: Tensor, style: Tensor) -> Tensor:
        """Crop (N,3,128,128) and style code (N,1024) -> face (N,3,128,128); not clamped in training mode."""
        return self.decoder(repeat_add(self.content_encoder(x, style), style), x)


def windowed(space: StyleSpace) -> StyleSpace:
    """The style space cut to the window, pictures fading at its border; analysis and synthesis stay exact inverses."""
    inside = np.zeros((PLANE, PLANE), np.float64)
    top, left, side = TOP // 4, LEFT // 4, SIDE // 4
    fade = np.ones(side)
    fade[[0, -1]] = 0.5
    inside[top : top + side, left : left + side] = np.outer(fade, fade)
    analysis = space.analysis * (inside.reshape(-1, 1) > 0)
    pictures = space.synthesis * inside.reshape(1, -1)
    synthesis = np.linalg.inv(pictures @ analysis) @ pictures
    return StyleSpace(analysis.astype(np.float32), synthesis.astype(np.float32))
