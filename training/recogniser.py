"""The frozen recogniser that training uses as a loss and as the discriminator's backbone.

Whatever it measures never counts as evaluation: the judges are other networks (training/metrics/judges.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.style_space import luminance

__all__ = ["FEATURE_CHANNELS", "Recogniser", "View", "distance", "random_view"]

FEATURE_CHANNELS = (32, 64, 128)
# dlib's 150 px chip out of the 128 px crop: its template lies 0.631 as wide and 17 px below the crop's centre.
WINDOW = torch.tensor([[0.631, 0, 0], [0, 0.631, 0.272]])

COLOUR_SHARE = 0.25  # of the faces that the recogniser sees in colour


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of embeddings (N,D) -> (N,); at a 150 px chip 0.6 is this recogniser's
    threshold for the same person."""
    return (a - b).square().sum(1).add(1e-6).sqrt()


_BY_FACE = ("theta", "gain", "offset", "saturation")


@dataclass(frozen=True, slots=True)
class View:
    """How the recogniser looks at a batch: where from (N,2,3), with which gain, offset and saturation (N,1,1,1), at
    which chip size, and whether at half resolution. Compared faces share a view, so that only the face differs."""

    theta: Tensor
    gain: Tensor
    offset: Tensor
    saturation: Tensor
    chip: int
    coarse: bool

    def to(self, device: torch.device) -> View:
        parts = (getattr(self, name).to(device) for name in _BY_FACE)
        return View(*parts, self.chip, self.coarse)

    def __getitem__(self, index: Tensor | slice) -> View:
        parts = (getattr(self, name)[index] for name in _BY_FACE)
        return View(*parts, self.chip, self.coarse)

    @staticmethod
    def straight(n: int, chip: int = 150, *, colour: bool = False) -> View:
        """As the recogniser was made to look at faces, at the chip size that it was made for, by default without
        colour."""
        zero = torch.zeros(n, 1, 1, 1)
        return View(WINDOW.expand(n, 2, 3), 1 + zero, zero, zero + colour, chip, False)

    @staticmethod
    def join(*views: View) -> View:
        """One view of several batches; chip size and resolution are those of the first."""
        parts = (torch.cat([getattr(v, name) for v in views]) for name in _BY_FACE)
        return View(*parts, views[0].chip, views[0].coarse)


class Recogniser(nn.Module):
    """dlib's ResNet-29 (CC0): returns the embedding (N,128) and three feature maps of FEATURE_CHANNELS channels."""

    def __init__(self, models: Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.net = torch.jit.load(str(models / "dlib_resnet_v1.fp16.pt")).to(dtype).eval()
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)

    def forward(self, x: Tensor, view: View) -> tuple[Tensor, list[Tensor]]:
        """x (N,3,128,128) RGB in -1..1. Every call adds its own noise."""
        grey = luminance(x)
        x = grey + view.saturation * (x - grey)
        x = x * view.gain + view.offset + 0.04 * torch.randn_like(x)
        if view.coarse:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        grid = F.affine_grid(view.theta, [len(x), 3, view.chip, view.chip], align_corners=False)
        chip = F.grid_sample(x, grid, align_corners=False, padding_mode="border")
        pixels = ((chip + 1) * 127.5).to(self.dtype).contiguous(memory_format=torch.channels_last)
        embedding, *features = (part.float() for part in self.net(pixels))
        return embedding, features


def random_view(n: int, chip: int) -> View:
    """Small similarity, brightness, contrast, sometimes half resolution, mostly without colour: jitter that keeps the
    loss from being answered by adversarial noise, and colour noise is the cheapest."""
    zoom, angle = 1 + 0.06 * torch.randn(n), 0.06 * torch.randn(n)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    theta = torch.cat([turn @ WINDOW[:, :2], WINDOW[:, 2:].expand(n, 2, 1) + 0.04 * torch.randn(n, 2, 1)], 2)
    gain, offset = 1 + 0.1 * torch.randn(n, 1, 1, 1), 0.05 * torch.randn(n, 1, 1, 1)
    saturation = (torch.rand(n, 1, 1, 1) < COLOUR_SHARE).float()
    return View(theta, gain, offset, saturation, chip, bool(torch.rand(()) < 0.4))
