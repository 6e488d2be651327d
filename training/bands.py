"""The fixed linear algebra that splits a face into what stays, coordinates that the key turns, light, and the hidden
part.

Luminance on a grid of 2 px cells and colour on one of 4 px cells are split by wavelets into coarse and detail. Hidden
is what the network draws: detail in the face, and of coarse luminance what neither coordinates nor light and expression
need. Changing coordinates or hidden part leaves all else as it is, exactly.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.style import BLOCK, NEIGHBOURS, face_mask
from mfm_edge.types import WINDOW
from training.style_space import COARSE_SCALE, SHADE, StyleSpace, luminance, window
from training.tone import slope, tone, untone
from training.wavelet import wavelet

__all__ = ["BLOCKS", "COARSE", "COLOUR", "GRAIN", "Bands", "face_share"]

SIDE = WINDOW[2]
LIGHT_GRID = SIDE // 2  # 48: cells of 2 px; finer detail is grain
COLOUR_GRID = SIDE // 4  # 24: cells of 4 px
BLOCKS = SIDE // BLOCK  # 12: coarse coefficients of luminance a side; of colour there are half as many
HIDDEN_SHARE = 0.1  # detail whose wavelets lie in the face by this share of their energy is hidden
DAMPING = 0.25, 0.2, 0.2
"""Of unexpected detail in the surrogate, by portion; its noise grows by the inverse of it when restored. Fine detail
says least of who somebody is, and looks worst where it does not belong."""
RIM = 0.5  # detail that lies in the face by less than this is damped as if it did by that much
GRAIN_DAMPING = 0.5
COARSE, FINE, COLOUR, GRAIN = 0, 1, 2, 3  # portions of these numbers
LOUDEST_DIAGONAL, LOUDEST_COLOUR = 4.0, 2.0  # of what is drawn, in standard deviations in photographs
# Luminance of 2x2 px without their mean: Haar's three details.
HAAR = ((0.5, 0.5, -0.5, -0.5), (0.5, -0.5, 0.5, -0.5), (0.5, -0.5, -0.5, 0.5))


class Bands(nn.Module):
    """Splits windows of crops and puts them together again.

    The hidden part has three portions, (N,K) each: coarse (coarse luminance and its detail from 4 px cells up), fine
    (its detail of 2 px cells) and colour. Colour is what red and blue have beyond the shade that goes with luminance.
    A fourth portion for the key is grain, luminance finer than cells, which the network does not draw.
    """

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        rest = torch.from_numpy(space.rest)
        places = torch.arange(LIGHT_GRID**2).view(LIGHT_GRID, LIGHT_GRID)
        near = torch.isin(torch.arange(LIGHT_GRID**2), places[: LIGHT_GRID // 2, : LIGHT_GRID // 2])
        share, hidden = _detail(LIGHT_GRID, BLOCKS)
        middle, fine = _even(share, hidden & near, count=rest.shape[1]), _even(share, hidden & ~near)
        colour_share, colour_hidden = _detail(COLOUR_GRID, BLOCKS // 2)
        colour = _even(colour_share, colour_hidden)
        depths = torch.cat([torch.ones(rest.shape[1]), share[middle]]), share[fine], colour_share[colour].repeat(2)
        colour = torch.cat([colour, colour + COLOUR_GRID**2])
        cells = face_share(2)
        inner = F.pad(cells[:, :, 2:-2, 2:-2], (2, 2, 2, 2)).repeat(1, len(HAAR), 1, 1).flatten()
        grain = _even(inner, inner > HIDDEN_SHARE)
        self.sizes = [*(len(depth) for depth in depths), len(grain)]
        red_blue = torch.zeros(3, 2)
        red_blue[0, 0] = red_blue[2, 1] = 1
        red_blue[1] = -torch.tensor([0.299, 0.114]) / 0.587  # green makes up for it: luminance stays
        shade = torch.tensor(SHADE).view(1, 3, 1, 1)
        analysis = torch.from_numpy(np.concatenate([space.analysis, space.light_analysis], 1))
        synthesis = torch.from_numpy(np.concatenate([space.synthesis, space.light_synthesis]))
        light = wavelet(LIGHT_GRID, 2)
        for name, value in {
            "light": light,
            "second_level": light[: LIGHT_GRID // 2] @ wavelet(LIGHT_GRID, 1)[: LIGHT_GRID // 2].T,  # (24,24)
            "colour": wavelet(COLOUR_GRID, 2),
            "light_up": _exact_upsampling(LIGHT_GRID, SIDE),  # (96,48)
            "colour_up": _exact_upsampling(COLOUR_GRID, SIDE),  # (96,24)
            "middle_places": middle,  # into the flattened coefficients
            "fine_places": fine,
            "colour_places": colour,
            "grain_places": grain,
            "grain_slots": _inverse(grain, 3 * LIGHT_GRID**2),
            "haar": torch.tensor(HAAR),
            # back; one past the end where nothing is
            "light_slots": _inverse(torch.cat([middle, fine]), LIGHT_GRID**2),
            "colour_slots": _inverse(colour, 2 * COLOUR_GRID**2),
            "impersonal": torch.eye(BLOCKS**2) - analysis @ synthesis,  # (144,144): takes coordinates and light out
            "rest": rest,  # (144,K)
            "shade": shade / luminance(shade),
            "red_blue": red_blue,
        }.items():
            self.register_buffer(name, value, persistent=False)
        parts = zip(depths, space.axes(), space.spreads(), strict=True)
        for i, (depth, axes, spread) in enumerate(parts):
            self.register_buffer(f"damping{i}", DAMPING[i] ** depth.clamp_min(RIM), persistent=False)
            self.register_buffer(f"axes{i}", torch.from_numpy(axes), persistent=False)
            self.register_buffer(f"spread{i}", torch.from_numpy(spread), persistent=False)
        for name, portion, deviations in (("diagonal", FINE, LOUDEST_DIAGONAL), ("colour", COLOUR, LOUDEST_COLOUR)):
            usual = (self.axes(portion) * self.spread(portion)).square().sum(1).sqrt()
            self.register_buffer(f"loudest_{name}", deviations * usual, persistent=False)
        half = LIGHT_GRID // 2
        diagonal = (fine // LIGHT_GRID >= half) & (fine % LIGHT_GRID >= half)
        self.register_buffer("diagonal", diagonal, persistent=False)
        self.register_buffer(f"damping{GRAIN}", torch.full((len(grain),), GRAIN_DAMPING), persistent=False)

    def damping(self, portion: int) -> Tensor:
        """(K,): by how much unexpected detail of a portion is weaker in a surrogate."""
        return self.get_buffer(f"damping{portion}")

    def toned(self, inside: Tensor) -> Tensor:
        """Window (N,3,96,96) in -1..1 -> on the tone curve, and as if the shade went with luminance of every size.

        Cameras and codecs leave little colour to what is finer than a few pixels: it is grey, wherever on the curve the
        channels of its surroundings are. Means over colour's cells and luminance stay as the curve has them.
        """
        toned = tone(inside)
        return toned - self._grey(toned)

    def untoned(self, toned: Tensor) -> Tensor:
        """The inverse of `toned`; whatever comes in, the result is within -1.2..1.2."""
        return untone(toned + self._grey(toned))

    def _grey(self, toned: Tensor) -> Tensor:
        """(N,3,96,96) -> what it takes to turn the shade of luminance finer than colour's cells into grey: changes
        neither the means of these cells nor luminance, on which alone it depends."""
        cells, light = F.avg_pool2d(toned, 4), luminance(toned)
        up = self.colour_up
        fine = light - up @ luminance(cells) @ up.T
        grey = 1 / slope(cells.clamp(-1, 1))
        tint = (up @ (grey / luminance(grey) - self.shade) @ up.T) * fine
        return tint - up @ F.avg_pool2d(tint, 4) @ up.T

    def split(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Crop (N,3,128,128) -> wavelet coefficients of its toned window: luminance (N,1,48,48), colour (N,2,24,24)."""
        rgb = tone(window(crop))  # luminance and means of cells are those of `toned`
        light = luminance(rgb)
        colour = rgb[:, ::2] - self.shade[:, ::2] * light
        return self.coefficients(F.avg_pool2d(light, 2), F.avg_pool2d(colour, 4))

    def grain(self, crop: Tensor) -> Tensor:
        """Crop (N,3,128,128) -> what its toned window's luminance has beyond the grid, in the face: (N,K)."""
        light = luminance(tone(window(crop)))
        beyond = light - self.light_up @ F.avg_pool2d(light, 2) @ self.light_up.T
        details = torch.einsum("dp,nphw->ndhw", self.haar, F.pixel_unshuffle(beyond, 2))
        return details.flatten(1).index_select(1, self.grain_places)

    def show_grain(self, grain: Tensor) -> Tensor:
        """Change of grain (N,K) -> change of the toned window's RGB (N,3,96,96)."""
        details = F.pad(grain, (0, 1)).index_select(1, self.grain_slots).view(-1, 3, LIGHT_GRID, LIGHT_GRID)
        return F.pixel_shuffle(torch.einsum("dp,ndhw->nphw", self.haar, details), 2) * self.shade

    def coefficients(self, light: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance (N,1,48,48) and colour (N,2,24,24) of the grid's cells -> coefficients."""
        return self.light @ light @ self.light.T, self.colour @ colour @ self.colour.T

    def cells(self, light: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `coefficients`."""
        return self.light.T @ light @ self.light, self.colour.T @ colour @ self.colour

    def coarse(self, light: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients -> smooth means of about 8 px blocks of luminance (N,1,12,12), of 16 px blocks of colour
        (N,2,6,6)."""
        half = BLOCKS // 2
        return light[:, :, :BLOCKS, :BLOCKS] / COARSE_SCALE, colour[:, :, :half, :half] / COARSE_SCALE

    def large_cells(self, light: Tensor) -> Tensor:
        """Coefficients -> luminance in cells of 4 px, (N,1,24,24), without its fine portion."""
        size = LIGHT_GRID // 2
        return self.second_level.T @ light[:, :, :size, :size] @ self.second_level / 2

    def from_large_cells(self, light: Tensor) -> Tensor:
        """The inverse of `large_cells`, with no fine portion."""
        corner = self.second_level @ light @ self.second_level.T * 2
        return F.pad(corner, (0, LIGHT_GRID // 2) * 2)

    def hidden(self, light: Tensor, colour: Tensor) -> list[Tensor]:
        """Coefficients -> hidden part."""
        coarse = light[:, :, :BLOCKS, :BLOCKS].flatten(1) @ self.impersonal @ self.rest
        light = light.flatten(1)
        return [
            torch.cat([coarse, light.index_select(1, self.middle_places)], 1),
            light.index_select(1, self.fine_places),
            colour.flatten(1).index_select(1, self.colour_places),
        ]

    def show(self, hidden: list[Tensor], picture: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden part, and perhaps a picture of coordinates and light (N,1,12,12) -> coefficients."""
        coarse, fine, colour = hidden
        k = self.rest.shape[1]
        corner = coarse[:, :k] @ self.rest.T
        if picture is not None:
            corner = corner + COARSE_SCALE * picture.flatten(1)
        detail = F.pad(torch.cat([coarse[:, k:], fine], 1), (0, 1)).index_select(1, self.light_slots)
        light = detail.view(-1, 1, LIGHT_GRID, LIGHT_GRID) + _in_corner(corner)
        colour = F.pad(colour, (0, 1)).index_select(1, self.colour_slots)
        return light, colour.view(-1, 2, COLOUR_GRID, COLOUR_GRID)

    def stays(self, light: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients without coordinates, light and hidden part: the same in original and surrogate."""
        coarse = light[:, :, :BLOCKS, :BLOCKS].flatten(1)
        personal = coarse - coarse @ self.impersonal
        hidden_light, hidden_colour = self.show(self.hidden(light, colour))
        return light - hidden_light - _in_corner(personal), colour - hidden_colour

    def components(self, portion: int, hidden: Tensor) -> Tensor:
        """Portion (N,K) -> its principal components (N,K): scrambled, they make detail that varies over the face, and
        together, as detail of real faces does; white noise would look like noise."""
        return hidden @ self.axes(portion) if portion != GRAIN else hidden

    def shuffle(self, portion: int, components: Tensor, order: Tensor, signs: Tensor) -> Tensor:
        """Components of a portion (N,K), moved among others of like variance and multiplied by signs.

        order (N,DETAILS) int64 and signs (N,DETAILS) of a key.
        """
        places = self.key_places(portion)
        return components.gather(1, order[:, places] - places.start) * signs[:, places]

    def unfold(self, portion: int, components: Tensor) -> Tensor:
        """The inverse of `components`."""
        # Grain has no axes: next to each other lie neighbours in the picture.
        return components @ self.axes(portion).T if portion != GRAIN else components

    def spread(self, portion: int) -> Tensor:
        """(K,): of a portion's components in faces."""
        return self.get_buffer(f"spread{portion}")

    def axes(self, portion: int) -> Tensor:
        """(K,K): of components, in the columns."""
        return self.get_buffer(f"axes{portion}").float()

    def moderate(self, fine: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        """Fine portion and colour (N,K) that are drawn -> the finest diagonal detail and colour no louder than
        photographs have them in that place, and nearly as they were where that is usual. Without it, chequered patches
        and red noses are drawn: they please what expects ratings (training/ratings.py) more than discriminators mind.
        """
        faint = self.loudest_diagonal * (fine / self.loudest_diagonal).tanh()
        return torch.where(self.diagonal, faint, fine), self.loudest_colour * (colour / self.loudest_colour).tanh()

    def key_places(self, portion: int) -> slice:
        """Where a key's order, signs and mark for a portion are among all of them."""
        start = sum(self.sizes[:portion])
        return slice(start, start + self.sizes[portion])

    def to_window(self, light: Tensor, colour: Tensor) -> Tensor:
        """Change of coefficients -> change of the toned window's RGB (N,3,96,96), exactly that much."""
        light, colour = self.cells(light, colour)
        shaded = (self.light_up @ light @ self.light_up.T) * self.shade
        return shaded + torch.einsum("rc,nchw->nrhw", self.red_blue, self.colour_up @ colour @ self.colour_up.T)


def face_share(cell: int) -> Tensor:
    """(1,1,96/cell,96/cell) in 0..1: how far each cell of so many px of the window belongs to the face."""
    return F.avg_pool2d(window(torch.from_numpy(face_mask(128))[None, None]), cell)


def _in_corner(coarse: Tensor) -> Tensor:
    """Coarse luminance (N,144) -> coefficients (N,1,48,48), all others zero."""
    return F.pad(coarse.view(-1, 1, BLOCKS, BLOCKS), (0, LIGHT_GRID - BLOCKS) * 2)


def _detail(grid: int, coarse: int) -> tuple[Tensor, Tensor]:
    """Of each flattened coefficient: the share of its energy that lies in the face, and whether it is hidden."""
    energy = wavelet(grid, 2).square()
    cell = SIDE // grid
    face = face_share(cell)
    share = energy @ face @ energy.T
    rim = torch.ones_like(face)
    width = 4 // cell
    rim[:, :, width:-width, width:-width] = 0  # the transform is periodic: one border lies on the other, too
    hidden = (share > HIDDEN_SHARE) & (energy @ rim @ energy.T < 0.02)
    hidden[:, :, :coarse, :coarse] = False
    return share.flatten(), hidden.flatten()


def _even(share: Tensor, hidden: Tensor, count: int = 0) -> Tensor:
    """Places of what is hidden, less a few that lie least in the face: with `count` more, a key can shuffle all of them
    in groups of NEIGHBOURS."""
    places = hidden.nonzero().flatten()
    spare = (len(places) + count) % NEIGHBOURS
    return places[share[places].argsort(stable=True)[spare:]].sort().values


def _inverse(places: Tensor, size: int) -> Tensor:
    return torch.full((size,), len(places)).index_copy(0, places, torch.arange(len(places)))


def _exact_upsampling(small: int, large: int) -> Tensor:
    """(large, small): linear interpolation, sharpened so that averaging its result gives the input back exactly."""
    linear = F.interpolate(torch.eye(small)[None], size=large, mode="linear", align_corners=False)[0].T
    average = torch.eye(small).repeat_interleave(large // small, 1) / (large // small)
    return (linear.double() @ torch.linalg.inv((average @ linear).double())).float()
