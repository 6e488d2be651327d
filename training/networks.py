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

from mfm_edge.style import (
    BLOCK,
    COORDINATES,
    DIRECTION_CELLS,
    NEIGHBOURS,
    PLANE,
    STYLE_SIZE,
    face_mask,
    signature_cells,
)
from mfm_edge.types import WINDOW
from training.style_space import COARSE_SCALE, StyleSpace, coarse_luminance, luminance
from training.wavelet import wavelet

__all__ = ["ContentEncoder", "Decoder", "Modifier", "StyleEncoder", "repeat_add"]

LATENT_CHANNELS = 256
TOP, LEFT, SIDE = WINDOW  # multiples of a latent cell (4 px)
GRID = SIDE // 2  # 48: the grid of 2 px cells on which luminance changes; finer detail stays
CELLS = SIDE // 4  # 24: latent cells
BLOCKS = SIDE // BLOCK  # 12
HIDDEN_SHARE = 0.1  # detail whose wavelets lie in the face by this share of their energy is drawn by the network
DAMPING = 0.3  # of unexpected detail in the surrogate; its noise grows by the inverse of it when restored
# Distance of a surrogate's coordinates from the mean, in units of the usual one: this much at the usual distance of the
# original, and growing with this power of it.
SURROGATE_RADIUS, EVENED = 1.1, 0.5
# How red, green and blue change when the luminance of a face changes by one (regression on the training faces).
SHADE = (1.066, 0.986, 0.897)
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


class Bands(nn.Module):
    """The fixed linear algebra that splits the window's luminance, on a 48x48 grid of 2 px cells, into wavelet bands.

    Coarse: 12x12 coefficients, of which coordinates of the style space are read. Hidden: what the network draws, that
    is detail in the face, and of its coarse coefficients what neither coordinates nor light and expression need.
    Changing one leaves all else as it is, exactly.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        transform = wavelet(GRID, 2)
        face = F.avg_pool2d(torch.from_numpy(face_mask(128))[None, None, TOP : TOP + SIDE, LEFT : LEFT + SIDE], 2)
        share = transform.square() @ face @ transform.square().T  # of each coefficient that lies in the face
        rim = torch.ones_like(face)
        rim[:, :, 2:-2, 2:-2] = 0  # the transform is periodic: what lies on one border lies on the other, too
        outside = transform.square() @ rim @ transform.square().T > 0.02
        detail = ((share > HIDDEN_SHARE) & ~outside).float()
        detail[:, :, :BLOCKS, :BLOCKS] = 0
        slots = _slots(share, detail, space.rest.shape[1])
        slot_of = torch.full((GRID**2,), len(slots)).index_copy(0, slots, torch.arange(len(slots)))
        detail = torch.zeros_like(detail).flatten().index_fill(0, slots, 1).view_as(detail)
        detail[:, :, :BLOCKS, :BLOCKS] = 0
        damping = torch.exp(math.log(DAMPING) * share * detail)
        damping[:, :, :BLOCKS, :BLOCKS] = DAMPING
        shade = torch.tensor(SHADE).view(1, 3, 1, 1)
        analysis, synthesis, rest = space.tensors().values()
        for name, value in {
            "transform": transform,  # (48,48)
            "up_window": _exact_upsampling(GRID, SIDE),  # (96,48)
            "detail": detail,  # (1,1,48,48)
            "impersonal": torch.eye(BLOCKS**2) - analysis @ synthesis,  # (144,144): takes the coordinates out
            "rest": rest,  # (144,K)
            "damping": damping,  # (1,1,48,48)
            "slots": slots,  # (M,): where the hidden part lies, neighbours side by side
            "slot_of": slot_of,  # (48*48,): the inverse; M where nothing is hidden
            "shade": shade / luminance(shade),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def coefficients(self, grid: Tensor) -> Tensor:
        """Luminance on the grid -> wavelet coefficients, (N,1,48,48) each."""
        return self.transform @ grid @ self.transform.T

    def grid(self, coefficients: Tensor) -> Tensor:
        """The inverse of `coefficients`; of (N,1,12,12), all detail is zero."""
        rows = self.transform[: coefficients.shape[2]]
        return rows.T @ coefficients @ rows

    def stays(self, coefficients: Tensor) -> Tensor:
        """Coefficients without coordinates and hidden part: the same in original and surrogate, (N,1,48,48)."""
        coarse = coefficients[:, :, :BLOCKS, :BLOCKS].flatten(1) @ self.impersonal
        coarse = coarse - (coarse @ self.rest) @ self.rest.T
        return self._with_coarse(coefficients * (1 - self.detail), coarse)

    def hidden(self, coefficients: Tensor) -> Tensor:
        """The hidden part: detail in the face where it is, and the rest in the first places of the coarse corner."""
        coarse = coefficients[:, :, :BLOCKS, :BLOCKS].flatten(1) @ self.impersonal @ self.rest
        return self._with_coarse(coefficients * self.detail, F.pad(coarse, (0, BLOCKS**2 - coarse.shape[1])))

    def show(self, hidden: Tensor) -> Tensor:
        """Hidden part -> coefficients, (N,1,48,48) each."""
        coarse = hidden[:, :, :BLOCKS, :BLOCKS].flatten(1)[:, : self.rest.shape[1]] @ self.rest.T
        return self._with_coarse(hidden, coarse)

    def shuffle(self, hidden: Tensor, order: Tensor, signs: Tensor) -> Tensor:
        """Move the coefficients of a hidden part among their neighbours and multiply them by the key's signs."""
        m = len(self.slots)
        moved = hidden.flatten(1)[:, self.slots].gather(1, order[:, :m]) * signs[:, :m]
        return F.pad(moved, (0, 1))[:, self.slot_of].view_as(hidden)

    def _with_coarse(self, coefficients: Tensor, coarse: Tensor) -> Tensor:
        corner = coarse.view(-1, 1, BLOCKS, BLOCKS)
        top = torch.cat([corner, coefficients[:, :, :BLOCKS, BLOCKS:]], 3)
        return torch.cat([top, coefficients[:, :, BLOCKS:]], 2)

    def to_window(self, grid: Tensor) -> Tensor:
        """Change of luminance on the grid (N,1,48,48) -> change of the window's RGB (N,3,96,96), exactly that much."""
        return (self.up_window @ grid @ self.up_window.T) * self.shade


def _slots(share: Tensor, detail: Tensor, rest: int) -> Tensor:
    """Places in the flattened coefficients that the hidden part uses, ordered so that every NEIGHBOURS of them are of
    one band and lie side by side. A few that lie least in the face are left out to make the number even."""
    places = detail.flatten().nonzero().flatten()
    spare = (len(places) + rest) % NEIGHBOURS
    places = places[share.flatten()[places].argsort(stable=True)[spare:]]
    row, column = places // GRID, places % GRID
    side = math.isqrt(NEIGHBOURS)
    band = torch.bucketize(row, torch.tensor([BLOCKS, GRID // 2]), right=True) * 3
    band += torch.bucketize(column, torch.tensor([BLOCKS, GRID // 2]), right=True)
    key = ((band * GRID + row // side) * GRID + column // side) * GRID**2 + places
    corner = torch.arange(rest)
    return torch.cat([corner // BLOCKS * GRID + corner % BLOCKS, places[key.argsort()]])


def _repeat(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


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
        """style (N,1024) -> sign (N,1,1,1), +1 for surrogates and -1 for originals; picture (N,1,12,12)."""
        sign = (style @ self.direction).view(-1, 1, 1, 1)
        picture = (style * self.inside / STYLE_GAIN).view(-1, 1, PLANE, PLANE)
        return sign, F.avg_pool2d(_window(picture, 4), BLOCK // 4)


class ContentEncoder(nn.Module):
    """(N,3,128,128) RGB in -1..1 -> (N,256,32,32), zero outside the window: the same for original and surrogate.

    It sees what the modifier leaves alone: coarse luminance without the coordinates that a key turns, blurred colour,
    and what surrounds the face. Its mean over channels is zero, which makes the repeat-and-add transparent: the mean
    over channels of the sum is the style code itself.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.stem = nn.Sequential(nn.Conv2d(6, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, LATENT_CHANNELS, 1))
        self.blocks = nn.Sequential(Block(1), Block(2))

    def visible(self, x: Tensor) -> Tensor:
        """What the network may see of a crop, (N,6,24,24): luminance of four pixels; red, blue against it."""
        window = _window(x, 1)
        light = luminance(window)
        seen = self.bands.grid(self.bands.stays(self.bands.coefficients(F.avg_pool2d(light, 2))))
        # Red and blue each change by a known multiple of the luminance: take that out, and nothing moves.
        shade = self.bands.shade[:, ::2]
        colour = F.avg_pool2d(window[:, ::2] - shade * light, 4)
        return torch.cat([F.pixel_unshuffle(seen, 2), colour], 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.blocks(self.stem(self.visible(x)))
        z = z - z.mean(1, keepdim=True)
        return F.pad(z, _border(4))


class Decoder(nn.Module):
    """Summed latents (N,256,32,32) of the face that comes in and of the one that goes out, order and signs (N,DETAILS)
    and input crop (N,3,128,128) -> (N,3,128,128) RGB in -1..1."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.reader = StyleReader()
        self.blocks = nn.ModuleList([Block(d, style=True) for d in (1, 2, 4, 1, 2)])
        self.up = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 192, 1), nn.PixelShuffle(2), nn.SiLU())  # (N,48,48,48)
        self.out = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1), nn.SiLU(), nn.Conv2d(48, 1, 3, padding=1))
        with torch.no_grad():
            self.out[-1].weight.mul_(0.1)
            self.out[-1].bias.zero_()

    def expected(self, latent: Tensor) -> Tensor:
        """Summed latent -> the hidden part that a face with this content and style should have, (N,1,48,48)."""
        code = latent.mean(1).flatten(1)  # the style code, read back
        h = _window(latent, 4)
        for block in self.blocks:
            h = block(h, code)
        return self.bands.hidden(self.bands.coefficients(self.out(self.up(h))))

    def forward(self, latent_from: Tensor, latent_to: Tensor, order: Tensor, signs: Tensor, x: Tensor) -> Tensor:
        return self.draw(x, self.change(latent_from, latent_to, order, signs, x)[0])

    def draw(self, x: Tensor, change: Tensor) -> Tensor:
        """Crop (N,3,128,128) and change of luminance on the grid -> face; not clamped in training mode."""
        y = x + F.pad(self.bands.to_window(change), _border(1))
        return y if self.training else y.clamp(-1, 1)

    def change(
        self, latent_from: Tensor, latent_to: Tensor, order: Tensor, signs: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Change of luminance on the grid, and the hidden part of x that was not expected, both (N,1,48,48)."""
        expected = self.expected(torch.cat([latent_from, latent_to]))
        expected_from, expected_to = expected.unflatten(0, (2, -1)).unbind(0)
        _, picture_from = self.reader(latent_from.mean(1).flatten(1))
        sign, picture_to = self.reader(latent_to.mean(1).flatten(1))
        own = self.bands.hidden(self.bands.coefficients(F.avg_pool2d(luminance(_window(x, 1)), 2)))
        left = own - expected_from
        surrogate, damping = sign > 0, self.bands.damping
        shuffled = self.bands.shuffle(torch.where(surrogate, left, left / damping), order, signs)
        change = self.bands.show(expected_to + torch.where(surrogate, shuffled * damping, shuffled) - own)
        return self.bands.grid(change) + self.bands.grid(COARSE_SCALE * (picture_to - picture_from)), left


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
    ) -> tuple[Tensor, Tensor]:
        """Faces as `forward` gives them from style codes (N,1024), and the detail of x that was not expected."""
        content = self.content_encoder(x)
        latents = repeat_add(content, style_from), repeat_add(content, style_to)
        change, left = self.decoder.change(*latents, order, signs, x)
        return self.decoder.draw(x, change), left
