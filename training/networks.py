"""The Multi-factor Modifier: content encoder, style encoder, repeat-and-add, decoder (paper section 3.1, Figure 3).

Three changes against the paper, each measured first (see training/README.md):
- the decoder's output is a residual on the input crop, so the background is exact from the first step;
- the style code is a picture: the change of the face's thumbnail that the key asks for, drawn by the style encoder;
- only the 96x96 window around the face is computed, so what lies outside it is never touched and costs nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import PLANE, STYLE_SIZE, signature_cells
from mfm_edge.types import WINDOW
from training.style_space import StyleSpace, thumbnail

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


class ContentEncoder(nn.Module):
    """(N,3,128,128) RGB in -1..1 -> (N,256,32,32) with zero mean over channels, zero outside the window.

    The zero mean makes the repeat-and-add transparent: the mean over channels of the sum is the style code itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 32, 3, padding=1),  # (N,32,48,48)
            nn.SiLU(),
            nn.PixelUnshuffle(2),
            nn.Conv2d(128, LATENT_CHANNELS, 1),  # (N,256,24,24)
        )
        self.blocks = nn.Sequential(Block(1), Block(2))

    def forward(self, x: Tensor) -> Tensor:
        z = self.blocks(self.stem(x[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE]))
        z = z - z.mean(1, keepdim=True)
        return F.pad(z, _border(4))


class Decoder(nn.Module):
    """(N,256,32,32) summed latent and (N,3,128,128) input crop -> (N,3,128,128) RGB in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(d, style=True) for d in (1, 2, 4, 1, 2)])
        self.up = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 192, 1), nn.PixelShuffle(2), nn.SiLU())  # (N,48,48,48)
        self.detail = nn.Sequential(nn.Conv2d(48 + 12, 48, 3, padding=1), nn.SiLU(), nn.Conv2d(48, 64, 1))
        self.out = nn.Conv2d(16, 3, 3, padding=1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()
        inside = torch.ones(STYLE_SIZE)
        inside[torch.from_numpy(signature_cells())] = 0
        self.register_buffer("inside", inside.view(1, 1, PLANE, PLANE), persistent=False)
        edge = torch.minimum(torch.arange(SIDE) + 0.5, SIDE - torch.arange(SIDE) - 0.5).clamp(max=RAMP) / RAMP
        self.register_buffer("ramp", (edge[:, None] * edge[None, :]).view(1, 1, SIDE, SIDE), persistent=False)

    def forward(self, latent: Tensor, x: Tensor) -> Tensor:
        plane = latent.mean(1, keepdim=True)  # (N,1,32,32): the style code, read back
        code = plane.flatten(1)
        window = x[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        h = latent[:, :, TOP // 4 : (TOP + SIDE) // 4, LEFT // 4 : (LEFT + SIDE) // 4]
        for block in self.blocks:
            h = block(h, code)
        h = torch.cat([self.up(h), F.pixel_unshuffle(window, 2)], 1)  # (N,60,48,48)
        u = self.out(F.silu(F.pixel_shuffle(self.detail(h), 2)))  # (N,3,96,96)
        drawn = F.interpolate(plane * self.inside, scale_factor=4, mode="bilinear", align_corners=False)
        u = (u + drawn[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE] / STYLE_GAIN) * self.ramp
        y = x + F.pad(u, _border(1))
        return y - (y - y.clamp(-1, 1)).detach() if self.training else y.clamp(-1, 1)


STYLE_GAIN = 2.0  # the picture in the style code against luminance in -1..1, so that it weighs as much as the key bits


def _border(cell: int) -> tuple[int, int, int, int]:
    left, top, side = LEFT // cell, TOP // cell, SIDE // cell
    size = 128 // cell
    return left, size - left - side, top, size - top - side


class StyleEncoder(nn.Module):
    """Crop, rotation (N,C,C) and signature (N,1024) -> style code (N,1024).

    Reads the face's coordinates in the style space, turns them by the key and draws the change as a picture. Linear in
    the crop, so turning back is exact. All of it was fitted in phase 1.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        self.register_buffer("analysis", torch.from_numpy(space.analysis))
        self.register_buffer("synthesis", torch.from_numpy(space.synthesis))

    def coordinates(self, x: Tensor) -> Tensor:
        """(N,3,128,128) -> (N,COORDINATES), of about unit variance over faces."""
        return thumbnail(x).flatten(1) @ self.analysis

    def draw(self, change: Tensor, signature: Tensor) -> Tensor:
        """Change of coordinates (N,COORDINATES) and signature (N,1024) -> style code (N,1024)."""
        return STYLE_GAIN * change @ self.synthesis + signature

    def forward(self, x: Tensor, rotation: Tensor, signature: Tensor) -> Tensor:
        c = self.coordinates(x)
        turned = (rotation @ c[:, :, None]).squeeze(2)
        return self.draw(turned - c, signature)


class Modifier(nn.Module):
    """The whole network, both directions."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        self.style_encoder = StyleEncoder(space)
        self.content_encoder = ContentEncoder()
        self.decoder = Decoder()

    def forward(self, x: Tensor, rotation: Tensor, signature: Tensor) -> Tensor:
        return self.modify(x, self.style_encoder(x, rotation, signature))

    def modify(self, x: Tensor, style: Tensor) -> Tensor:
        """Crop (N,3,128,128) and style code (N,1024) -> face (N,3,128,128)."""
        return self.decoder(repeat_add(self.content_encoder(x), style), x)
