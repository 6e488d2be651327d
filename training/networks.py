"""The Multi-factor Modifier: content encoder, style encoder, repeat-and-add, decoder (paper section 3.1, Figure 3).

Three changes against the paper, each measured first (see training/README.md):
- the face is split into what the decoder must leave alone, coordinates that the key turns, light that it changes, and
  detail. The decoder draws the detail that it expects of a face with such coordinates; the key scrambles what is left
  over. All of it is undone exactly with the same key, so restoring needs no training, and the key leaves a mark by
  which it is known again: a wrong one makes another surrogate;
- the style code is a picture: the part of the face's coarse luminance that makes the person;
- only the 96x96 window around the face is computed, so what lies outside it is never touched and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.headroom import bend, squeeze, stretch
from mfm_edge.style import PLANE, STYLE_SIZE
from mfm_edge.types import WINDOW
from training.bands import GRAIN, Bands
from training.finish import Finish
from training.identity import IdentityInjection
from training.mark import Mark
from training.noise import Noise
from training.style_encoder import StyleEncoder, StyleReader
from training.style_space import StyleSpace, border, window
from training.tone import BRIGHTEST

__all__ = ["CALM", "LATENT_CHANNELS", "Change", "ContentEncoder", "Decoder", "Modifier", "repeat_add"]

LATENT_CHANNELS = 256
BLOCK_FEATURES = 64
SIDE = 24  # of the latent within the window
SPOT = 6.0  # px, at which a landmark's spot has faded to 1/e
CALM = 0.45  # of what was left over with a wrong key, which is that much more than with the right one


def repeat_add(content: Tensor, style: Tensor) -> Tensor:
    """Repeat the style code over all channels and add it to the content latent: (N,256,32,32) + (N,1024)."""
    return content + style.view(-1, 1, PLANE, PLANE)


def read_back(latent: Tensor) -> Tensor:
    """Summed latent (N,C,32,32) -> its style code (N,1024): the mean over channels, since the content has none. As a
    product: ONNX Runtime takes ten times as long for the mean of one face."""
    channels = latent.shape[1]
    return (latent.new_full((1, channels), 1 / channels) @ latent.flatten(2)).flatten(1)


class Block(nn.Module):
    """Bottleneck residual block 256 -> 64 -> 256; with `style`, features are modulated by the style code, and by what
    its identity adds (N,128) to that."""

    def __init__(self, dilation: int = 1, style: bool = False) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(LATENT_CHANNELS, BLOCK_FEATURES, 1)
        self.conv = nn.Conv2d(BLOCK_FEATURES, BLOCK_FEATURES, 3, padding=dilation, dilation=dilation)
        self.expand = nn.Conv2d(BLOCK_FEATURES, LATENT_CHANNELS, 1)
        with torch.no_grad():
            self.expand.weight.mul_(0.3)
            self.expand.bias.zero_()
        wide = 2 * BLOCK_FEATURES
        self.modulate = nn.Sequential(nn.Linear(STYLE_SIZE, wide), nn.SiLU(), nn.Linear(wide, wide)) if style else None

    def forward(self, x: Tensor, code: Tensor | None = None, identity: Tensor | None = None) -> Tensor:
        h = self.reduce(x)  # (N,64,24,24)
        if self.modulate is not None:
            scale, shift = (self.modulate(code) + identity)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return x + self.expand(F.silu(self.conv(F.silu(h))))


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a crop's toned window, RGB (N,3,96,96): window, all of it; of that grain, by which its grain
    changes. hidden: the hidden part of the crop; left: what of that was not expected; scrambled: what the key makes of
    that and lays over what is drawn; evidence (N,E): what of it speaks for the key."""

    window: Tensor
    grain: Tensor
    hidden: list[Tensor]
    left: list[Tensor]
    scrambled: list[Tensor]
    evidence: Tensor


class ContentEncoder(nn.Module):
    """(N,3,128,128) RGB in -1..1, landmarks (N,5,2) px -> (N,256,32,32), zero outside the window: the same for original
    and surrogate.

    It sees what the modifier leaves alone: coarse luminance without the coordinates that a key turns and the light that
    it changes, coarse colour, what surrounds the face, and where eyes, nose and mouth are. Its mean over channels is
    zero, which makes the repeat-and-add transparent: the mean over channels of the sum is the style code itself.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.stem = nn.Sequential(nn.Conv2d(11, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, LATENT_CHANNELS, 1))
        self.blocks = nn.Sequential(Block(1), Block(2))
        axis = (torch.arange(WINDOW[2] // 4) + 0.5) * 4 - 0.5
        self.register_buffer("columns", axis + WINDOW[1], persistent=False)
        self.register_buffer("rows", axis + WINDOW[0], persistent=False)

    def visible(self, x: Tensor) -> Tensor:
        """What the network may see of a crop, (N,6,24,24): luminance of four cells of the fine grid; red and blue."""
        light, colour = self.bands.cells(*self.bands.stays(*self.bands.split(x)))
        return torch.cat([F.pixel_unshuffle(light, 2), colour], 1)

    def places(self, landmarks: Tensor) -> Tensor:
        """Landmarks (N,5,2), crop px -> a spot at each, (N,5,24,24) in 0..1."""
        across = torch.exp(-((self.columns - landmarks[:, :, :1]) / SPOT).square())
        down = torch.exp(-((self.rows - landmarks[:, :, 1:]) / SPOT).square())
        return down[:, :, :, None] * across[:, :, None, :]

    def forward(self, x: Tensor, landmarks: Tensor) -> Tensor:
        z = self.blocks(self.stem(torch.cat([self.visible(x), self.places(landmarks)], 1)))
        z = z - z.mean(1, keepdim=True)
        return F.pad(z, border(4))


class Decoder(nn.Module):
    """Summed latents (N,256,32,32) of the face that comes in and of the one that goes out, style code (N,1024) of the
    face to show where the key is wrong, order, signs and mark (N,DETAILS), known (N,1): 1 where a key that restores is
    known to be the right one, else 0, and input crop (N,3,128,128) -> face (N,3,128,128) RGB in -1..1, and evidence
    (N,E): what speaks for a key that restores being the right one, see training/mark.py."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.mark = Mark(bands)
        self.reader = StyleReader()
        self.blocks = nn.ModuleList([Block(d, style=True) for d in (1, 2, 4, 1, 2)])
        self.identity = IdentityInjection(LATENT_CHANNELS, SIDE, BLOCK_FEATURES, len(self.blocks))
        self.narrow = nn.Conv2d(LATENT_CHANNELS, 63, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1), nn.SiLU(),
            nn.Conv2d(64, 64, 3, padding=2, dilation=2), nn.SiLU(), nn.Conv2d(64, LATENT_CHANNELS, 1),
        )  # fmt: skip
        self.coarse = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, 48, 1), nn.SiLU(),
            nn.Conv2d(48, 48, 3, padding=1), nn.SiLU(), nn.Conv2d(48, 1, 3, padding=1),
        )  # fmt: skip
        self.fine = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, 96, 1), nn.PixelShuffle(2), nn.SiLU(),  # (N,24,48,48)
            nn.Conv2d(24, 24, 3, padding=1), nn.SiLU(), nn.Conv2d(24, 1, 3, padding=1),
        )  # fmt: skip
        self.colour = nn.Sequential(nn.Conv2d(LATENT_CHANNELS, 32, 1), nn.SiLU(), nn.Conv2d(32, 2, 3, padding=1))
        with torch.no_grad():
            for head in (self.coarse, self.fine, self.colour):
                head[-1].weight.mul_(0.1)
                head[-1].bias.zero_()
            self.refine[-1].weight.zero_()
            self.refine[-1].bias.zero_()
        self.noise, self.finish = Noise(bands), Finish(bands, LATENT_CHANNELS)

    def think(self, latent: Tensor, code: Tensor) -> Tensor:
        """Summed latent (N,256,32,32) and style code (N,1024) -> features of the face to draw (N,256,24,24)."""
        features, modulations = self.identity(self.reader.identity(code))
        h = window(latent, 4) + features
        for block, modulation in zip(self.blocks, modulations, strict=True):
            h = block(h, code, modulation)
        return h

    def first_look(self, h: Tensor, known: Tensor) -> Tensor:
        """Features and what is known of the luminance (coefficients) -> the coarse portion that the face should have.

        Drawn so that together with what is known nothing is much brighter or darker than a picture can be: one clipped
        spot of a surrogate is noise all over the restored face. The same holds for `look_again`.
        """
        bands, no_colour = self.bands, torch.zeros_like(h[:, :2])
        coarse, *nothing = bands.hidden(bands.from_large_cells(self.coarse(h)), no_colour)
        cells = bands.large_cells(known + bands.show([coarse, *nothing])[0])
        beyond = bands.from_large_cells(cells - cells.clamp(-BRIGHTEST, BRIGHTEST))
        return coarse - bands.hidden(beyond, no_colour)[0]

    def look_again(self, h: Tensor, coarse: Tensor, light: Tensor, known: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features, the coarse portion that was drawn with them, the face's luminance without its finer detail
        (coefficients; that detail is not looked at) and what is known of it -> features to draw finer detail with, and
        the whole hidden part that the face should have."""
        bands, no_colour = self.bands, torch.zeros_like(h[:, :2])
        h = h + self.refine(torch.cat([self.narrow(h), bands.large_cells(light)], 1))
        _, fine, colour = bands.hidden(*bands.coefficients(self.fine(h), self.colour(h)))
        fine, colour = bands.moderate(fine, colour)
        cells, _ = bands.cells(known + bands.show([coarse, fine, colour])[0], no_colour)
        beyond = bands.coefficients(cells - cells.clamp(-BRIGHTEST, BRIGHTEST), no_colour)
        return h, [coarse, fine - bands.hidden(*beyond)[1], colour]

    def noise_in(self, parts: Sequence[Tensor]) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Components (N,K) of what the right key unscrambled, portion by portion -> coefficients of what of them is
        noise, and its levels (N,3)."""
        kept, levels = zip(*(self.noise(portion, part) for portion, part in enumerate(parts)), strict=True)
        noise = [
            self.bands.unfold(portion, part - worth)
            for portion, (part, worth) in enumerate(zip(parts, kept, strict=True))
        ]
        return self.bands.show(noise), torch.cat(levels, 1)

    def forward(
        self,
        latent_from: Tensor,
        latent_to: Tensor,
        otherwise: Tensor,
        order: Tensor,
        signs: Tensor,
        mark: Tensor,
        known: Tensor,
        x: Tensor,
    ) -> tuple[Tensor, Tensor]:
        change = self.change(latent_from, latent_to, otherwise, (order, signs, mark), x, known)
        return self.draw(x, change.window), change.evidence

    def draw(self, x: Tensor, change: Tensor) -> Tensor:
        """Crop (N,3,128,128) and change of its toned window (N,3,96,96) -> face, not clamped."""
        inside = window(x)
        return x + F.pad(self.bands.untoned(self.bands.toned(inside) + change) - inside, border(1))

    def change(
        self,
        latent_from: Tensor,
        latent_to: Tensor,
        otherwise: Tensor,
        key: tuple[Tensor, Tensor, Tensor],
        x: Tensor,
        known: Tensor | None = None,
    ) -> Change:
        """What becomes of x; known: nothing when None.

        Coarse to fine: what is expected of finer detail depends on the coarser detail, which both directions know then.
        """
        bands, (order, signs, mark) = self.bands, key
        code_from, code_to = read_back(latent_from), read_back(latent_to)
        picture_from, surrogate = self.reader(code_from), self.reader.surrogate(code_to)
        light, colour = bands.split(x)
        own, grain = bands.hidden(light, colour), bands.grain(x)
        stays = bands.stays(light, colour)[0]
        nothing = [torch.zeros_like(part) for part in own]
        known_from = stays + bands.show(nothing, picture_from)[0]

        def components(portion: int, left: Tensor) -> Tensor:
            return bands.components(portion, torch.where(surrogate, left, left / bands.damping(portion)))

        def scramble(portion: int, left: Tensor) -> tuple[Tensor, Tensor]:
            """A portion of what was left, scrambled, and the components of that; the mark is on it or off again. A
            wrong key does not undo the damping: unscrambled wrongly, detail stays as faint as in a surrogate."""
            sent, damping, own_mark = components(portion, left), bands.damping(portion), self.mark.added(portion, mark)
            shuffled = bands.shuffle(portion, torch.where(surrogate, sent, sent - trust * own_mark), order, signs)
            faint = torch.where(surrogate, damping, trust + (1 - trust) * CALM * damping)
            return bands.unfold(portion, shuffled + torch.where(surrogate, own_mark, 0.0)) * faint, shuffled

        h_from = self.think(latent_from, code_from)
        _, drawn_from = self.look_again(h_from, self.first_look(h_from, known_from), light, known_from)
        left = [part - drawn for part, drawn in zip(own, drawn_from, strict=True)]
        evidence = self.mark.evidence([components(portion, part) for portion, part in enumerate(left)], mark)
        found = self.mark.trust(evidence)
        trust = torch.where(surrogate, 1.0, found if known is None else torch.maximum(found, known))
        # With a wrong key comes out what every other key makes: a surrogate, of the person whom that key asks for.
        doubt = (1 - trust) * (otherwise - code_to)
        code_to = code_to + doubt
        picture_to = self.reader(code_to)
        picture, known_to = picture_to - picture_from, stays + bands.show(nothing, picture_to)[0]
        h_to = self.think(repeat_add(latent_to, doubt), code_to)
        drawn_coarse = self.first_look(h_to, known_to)
        scrambled, parts = zip(*(scramble(portion, part) for portion, part in enumerate(left)), strict=True)
        coarse = drawn_coarse + scrambled[0]
        middle = light + bands.show([coarse - own[0], *nothing[1:]], picture)[0]
        h_to, drawn = self.look_again(h_to, drawn_coarse, middle, known_to)

        change = [part + more - was for part, more, was in zip(drawn, scrambled, own, strict=True)]
        more_light, more_colour = bands.show(change, picture)
        face = light + more_light, colour + more_colour
        touch = self.finish(h_to, face, bands.show(drawn, picture_to), *self.noise_in(parts))
        # One graph serves both directions, so the last touch is computed for surrogates, too, and left out.
        change = [part + torch.where(surrogate, 0.0, trust * more) for part, more in zip(change, touch, strict=True)]
        fine_grain = bands.show_grain(scramble(GRAIN, grain)[0] - grain)
        shown = bands.to_window(*bands.show(change, picture)) + fine_grain
        return Change(shown, fine_grain, own, left, list(scrambled), evidence)


class Modifier(nn.Module):
    """The whole network, both directions."""

    def __init__(self, space: StyleSpace) -> None:
        super().__init__()
        bands = Bands(space)
        self.style_encoder = StyleEncoder(space, bands)
        self.content_encoder = ContentEncoder(bands)
        self.decoder = Decoder(bands)
        self.register_buffer("bend", torch.tensor(bend()), persistent=False)

    def forward(
        self,
        x: Tensor,
        landmarks: Tensor,
        rotation: Tensor,
        person: Tensor,
        light: Tensor,
        order: Tensor,
        signs: Tensor,
        mark: Tensor,
        signature_from: Tensor,
        signature_to: Tensor,
    ) -> Tensor:
        """Crops (N,3,128,128), landmarks of the originals (N,5,2) px and keys (training.keys) -> faces (N,3,128,128);
        not clamped. Surrogates are squeezed (mfm_edge.headroom), and stretched again before they are restored."""
        surrogate = self.style_encoder.reader.surrogate(signature_to)[:, :, None, None]
        x = torch.where(surrogate, x, stretch(x, self.bend))
        styles = self.style_encoder(x, landmarks, rotation, person, light, signature_from, signature_to)
        y = self.decoder.draw(x, self.change(x, landmarks, styles, (order, signs, mark)).window)
        return torch.where(surrogate, squeeze(y, self.bend), y)

    def surrogate(self, x: Tensor, change: Tensor) -> Tensor:
        """Crops (N,3,128,128) and change of their toned windows (N,3,96,96) -> surrogates as they leave: squeezed, not
        clamped."""
        return squeeze(self.decoder.draw(x, change), self.bend)

    def change(
        self,
        x: Tensor,
        landmarks: Tensor,
        styles: tuple[Tensor, Tensor, Tensor],
        scramble: tuple[Tensor, Tensor, Tensor],
        known: Tensor | None = None,
    ) -> Change:
        """What becomes of crops under the style encoder's codes and what the decoder takes of a key; known: see
        Decoder, nothing when None."""
        content = self.content_encoder(x, landmarks)
        style_from, style_to, otherwise = styles
        latents = repeat_add(content, style_from), repeat_add(content, style_to)
        return self.decoder.change(*latents, otherwise, scramble, x, known)
