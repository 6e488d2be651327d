"""The Multi-factor Modifier: content encoder, style encoder, repeat-and-add, decoder (paper section 3.1, Figure 3).

Three changes against the paper, each measured first (see training/README.md):
- the face is split into what the decoder must leave alone, coordinates that the key turns, and detail. The decoder
  draws the detail that it expects of a face with such coordinates; the key scrambles what is left over. All of it is
  undone exactly with the same key, so restoring needs no training;
- the style code is a picture: the part of the face's coarse luminance that makes the person;
- only the 96x96 window around the face is computed, so what lies outside it is never touched and costs nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import BLOCK, COORDINATES, DIRECTION_CELLS, PLANE, STYLE_SIZE, signature_cells
from mfm_edge.types import WINDOW
from training.bands import BLOCKS, Bands
from training.style_space import StyleSpace, coarse_luminance, window
from training.tone import tone, untone

__all__ = ["ContentEncoder", "Decoder", "Modifier", "StyleEncoder", "repeat_add"]

LATENT_CHANNELS = 256
TOP, LEFT, SIDE = WINDOW  # multiples of a latent cell (4 px)
# Distance of a surrogate's coordinates from the mean, in units of the usual one: this much at the usual distance of the
# original, and growing with this power of it.
SURROGATE_RADIUS, EVENED = 1.1, 0.5
STYLE_GAIN = 2.0  # the picture in the style code against luminance in -1..1, so that it weighs as much as the key bits


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


def _repeat(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


def _window(x: Tensor, cell: int) -> Tensor:
    top, left, side = TOP // cell, LEFT // cell, SIDE // cell
    return x[:, :, top : top + side, left : left + side]


def _border(cell: int) -> tuple[int, int, int, int]:
    left, top, side, size = LEFT // cell, TOP // cell, SIDE // cell, 128 // cell
    return left, size - left - side, top, size - top - side


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
        return sign, F.avg_pool2d(_window(picture, 4), BLOCK // 4)


class ContentEncoder(nn.Module):
    """(N,3,128,128) RGB in -1..1 -> (N,256,32,32), zero outside the window: the same for original and surrogate.

    It sees what the modifier leaves alone: coarse luminance without the coordinates that a key turns, coarse colour,
    and what surrounds the face. Its mean over channels is zero, which makes the repeat-and-add transparent: the mean
    over channels of the sum is the style code itself.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.stem = nn.Sequential(nn.Conv2d(6, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, LATENT_CHANNELS, 1))
        self.blocks = nn.Sequential(Block(1), Block(2))

    def visible(self, x: Tensor) -> Tensor:
        """What the network may see of a crop, (N,6,24,24): luminance of four cells of the fine grid; red and blue."""
        light, colour = self.bands.grids(*self.bands.stays(*self.bands.split(x)))
        return torch.cat([F.pixel_unshuffle(light, 2), colour], 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.blocks(self.stem(self.visible(x)))
        z = z - z.mean(1, keepdim=True)
        return F.pad(z, _border(4))


class Finish(nn.Module):
    """The last touch to a restored face: takes off what rounding, clipping and a codec left on it. With a wrong key,
    detail that was unscrambled wrongly looks like a lot of such noise, and a smooth face comes out.

    Nothing has to be undone after it, so it may be any network; surrogates do not get it.
    """

    def __init__(self, bands: Bands, width: int = 64) -> None:
        super().__init__()
        self.bands = bands
        self.narrow = nn.Conv2d(LATENT_CHANNELS, 52, 1)
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
        pictures = (self.bands.grids(*coefficients) for coefficients in (face, expected))
        seen = [torch.cat([F.pixel_unshuffle(light, 2), colour], 1) for light, colour in pictures]
        h = self.trunk(torch.cat([self.narrow(h), *seen], 1))
        return self.bands.hidden(*self.bands.coefficients(self.light(h), self.colour(h)))


class Decoder(nn.Module):
    """Summed latents (N,256,32,32) of the face that comes in and of the one that goes out, order and signs (N,DETAILS)
    and input crop (N,3,128,128) -> (N,3,128,128) RGB in -1..1."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.reader = StyleReader()
        self.blocks = nn.ModuleList([Block(d, style=True) for d in (1, 2, 4, 1, 2)])
        self.narrow = nn.Conv2d(LATENT_CHANNELS, 63, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1), nn.SiLU(),
            nn.Conv2d(64, 64, 3, padding=2, dilation=2), nn.SiLU(), nn.Conv2d(64, LATENT_CHANNELS, 1),
        )  # fmt: skip
        self.up = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 192, 1), nn.PixelShuffle(2), nn.SiLU())  # (N,48,48,48)
        self.light = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1), nn.SiLU(), nn.Conv2d(48, 1, 3, padding=1))
        self.colour = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 32, 1), nn.SiLU(), nn.Conv2d(32, 2, 3, padding=1))
        with torch.no_grad():
            for head in (self.light, self.colour):
                head[-1].weight.mul_(0.1)
                head[-1].bias.zero_()
            self.refine[-1].weight.zero_()
            self.refine[-1].bias.zero_()
        self.finish = Finish(bands)

    def think(self, latent: Tensor) -> Tensor:
        """Summed latent (N,256,32,32) -> features of the face to draw (N,256,24,24)."""
        code = latent.mean(1).flatten(1)  # the style code, read back
        h = _window(latent, 4)
        for block in self.blocks:
            h = block(h, code)
        return h

    def look(self, h: Tensor, seen: Tensor) -> Tensor:
        """Features, and the face without its finest detail (N,1,24,24) -> features to draw that detail with."""
        return h + self.refine(torch.cat([self.narrow(h), seen], 1))

    def expected(self, h: Tensor) -> list[Tensor]:
        """Features -> the hidden part that the face should have."""
        return self.bands.hidden(*self.bands.coefficients(self.light(self.up(h)), self.colour(h)))

    def forward(self, latent_from: Tensor, latent_to: Tensor, order: Tensor, signs: Tensor, x: Tensor) -> Tensor:
        return self.draw(x, self.change(latent_from, latent_to, order, signs, x)[0])

    def draw(self, x: Tensor, change: Tensor) -> Tensor:
        """Crop (N,3,128,128) and change of its toned window (N,3,96,96) -> face; not clamped in training mode."""
        inside = window(x)
        y = x + F.pad(untone(tone(inside) + change) - inside, _border(1))
        return y if self.training else y.clamp(-1, 1)

    def change(
        self, latent_from: Tensor, latent_to: Tensor, order: Tensor, signs: Tensor, x: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Change of the toned window's RGB (N,3,96,96), and the hidden part of x that was not expected.

        Coarse to fine: what is expected of finer detail depends on the coarser detail, which both directions know then.
        """
        bands = self.bands
        _, picture_from = self.reader(latent_from.mean(1).flatten(1))
        sign, picture_to = self.reader(latent_to.mean(1).flatten(1))
        surrogate, picture = sign > 0, picture_to - picture_from
        light, colour = bands.split(x)
        own = bands.hidden(light, colour)

        def exchange(portion: int, expected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            expected_from, expected_to = expected.unflatten(0, (2, -1)).unbind(0)
            left, damping = own[portion] - expected_from, bands.damping(portion)
            scrambled = bands.scramble(portion, torch.where(surrogate, left, left / damping), order, signs)
            return expected_to, expected_to + torch.where(surrogate, scrambled * damping, scrambled), left

        h = self.think(torch.cat([latent_from, latent_to]))
        coarse = exchange(0, self.expected(h)[0])
        light_to = light + bands.show([coarse[1] - own[0], *(torch.zeros_like(fine) for fine in own[1:])], picture)[0]
        h = self.look(h, bands.without_fine(torch.cat([light, light_to])))
        detail = self.expected(h)
        drawn, hidden, left = zip(coarse, exchange(1, detail[1]), exchange(2, detail[2]), strict=True)

        light_to, colour_to = bands.show([to - was for to, was in zip(hidden, own, strict=True)], picture)
        face, expected = (light + light_to, colour + colour_to), bands.show(list(drawn), picture_to)
        touch = self.finish(h.unflatten(0, (2, -1))[1], face, expected)
        change = [
            to - was + torch.where(surrogate, 0.0, more) for to, was, more in zip(hidden, own, touch, strict=True)
        ]
        return bands.to_window(*bands.show(change, picture)), list(left)


class StyleEncoder(nn.Module):
    """Crop, rotation (N,C,C) and the signatures (N,1024) of the face that comes in and of the one that goes out ->
    their style codes, (N,1024) each.

    Reads the face's coordinates in the style space, turns them by the key and draws both as pictures. How far a face
    lies from the mean is evened out in surrogates, so that odd light makes no odd surrogate, and comes back when they
    are turned back. Nothing is trained: fitted in phase 1.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        cells = _repeat(torch.from_numpy(space.synthesis).view(-1, 1, BLOCKS, BLOCKS), BLOCK // 4)
        self.register_buffer("analysis", torch.from_numpy(space.analysis), persistent=False)
        self.reader = StyleReader()
        self.register_buffer("pictures", STYLE_GAIN * F.pad(cells, _border(4)).flatten(1), persistent=False)

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


class Modifier(nn.Module):
    """The whole network, both directions."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        bands = Bands(space)
        self.style_encoder = StyleEncoder(space)
        self.content_encoder = ContentEncoder(bands)
        self.decoder = Decoder(bands)

    def forward(
        self, x: Tensor, rotation: Tensor, order: Tensor, signs: Tensor, signature_from: Tensor, signature_to: Tensor
    ) -> Tensor:
        """Crops (N,3,128,128) and keys (training.keys) -> faces (N,3,128,128); not clamped in training mode."""
        style_from, style_to = self.style_encoder(x, rotation, signature_from, signature_to)
        return self.modify(x, style_from, style_to, order, signs)[0]

    def modify(
        self, x: Tensor, style_from: Tensor, style_to: Tensor, order: Tensor, signs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Faces as `forward` gives them from style codes (N,1024), and the hidden part of x that was not expected."""
        content = self.content_encoder(x)
        latents = repeat_add(content, style_from), repeat_add(content, style_to)
        change, left = self.decoder.change(*latents, order, signs, x)
        return self.decoder.draw(x, change), left
