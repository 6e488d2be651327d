"""Restore without a password: a U-Net that has learned the way from surrogates under random keys to their originals."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attacks.pairs import Pairs
from training.data import to_tensor
from training.experiments.subject import Crops
from training.recogniser import Recogniser, distance, random_view
from training.style_space import border, window
from training.timed_fit import timed_fit

__all__ = ["Inversion"]


class Inversion:
    """Made by `train`; `restored` is its guess of the originals."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        self._net, self.steps = network, steps

    @staticmethod
    def train(pairs: Pairs, models: Path, *, minutes: float, seed: int = 0) -> Inversion:
        """It is after the person as much as the picture: the recogniser that training uses (dlib) is in its loss."""
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        network, recogniser = UNet(), Recogniser(models)

        def loss() -> Tensor:
            pick = torch.randint(len(pairs.x), (8,), generator=generator).numpy()
            x, y = to_tensor(pairs.x[pick]), to_tensor(pairs.y[pick])
            guess = network(y)
            view = random_view(len(x), 128)
            with torch.no_grad():
                wanted, _ = recogniser(x, view)
            person = distance(recogniser(guess, view)[0], wanted).mean()
            return F.l1_loss(window(guess), window(x)) + 0.2 * person

        return Inversion(network, timed_fit(network, loss, minutes=minutes))

    @torch.no_grad()
    def restored(self, y: Crops, batch: int = 16) -> Crops:
        """(N, 128, 128, 3) uint8 RGB surrogates -> the same shape."""
        found = [self._net(to_tensor(y[start : start + batch])) for start in range(0, len(y), batch)]
        pixels = (torch.cat(found).permute(0, 2, 3, 1) + 1) * 127.5
        return pixels.round().clamp(0, 255).to(torch.uint8).numpy()


class UNet(nn.Module):
    """(N, 3, 128, 128) in -1..1 -> the same, changed within the window."""

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.first = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, a))
        self.down = nn.ModuleList([_conv(a, b, 2), _conv(b, c, 2), _conv(c, d, 2)])
        self.middle = _conv(d, d)
        self.up = nn.ModuleList([_conv(d + c, c), _conv(c + b, b), _conv(b + a, a)])
        self.last = nn.Sequential(nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2))
        nn.init.zeros_(self.last[0].weight)
        nn.init.zeros_(self.last[0].bias)

    def forward(self, y: Tensor) -> Tensor:
        skips = [self.first(window(y))]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        h = self.middle(skips.pop())
        for layer in self.up:
            h = layer(torch.cat([F.interpolate(h, scale_factor=2), skips.pop()], 1))
        return y + F.pad(self.last(h), border())


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU(inplace=True))
