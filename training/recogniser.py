"""The frozen recogniser that training uses as a loss and as the discriminator's backbone.

Whatever it measures never counts as evaluation: the judges are other networks (training/metrics/judges.py).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FEATURE_CHANNELS", "Recogniser", "distance"]

FEATURE_CHANNELS = (32, 64, 128)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of embeddings (N,D) -> (N,); at a 150 px chip 0.6 is this recogniser's
    threshold for the same person."""
    return (a - b).square().sum(1).add(1e-6).sqrt()


class Recogniser(nn.Module):
    """dlib's ResNet-29 (CC0): returns the embedding (N,128) and three feature maps of FEATURE_CHANNELS channels."""

    def __init__(self, models: Path, chip: int = 128) -> None:
        super().__init__()
        self.net = torch.jit.load(str(models / "dlib_resnet_v1.fp16.pt")).float().eval()
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)
        # dlib's 150 px chip out of the 128 px crop: its template lies 0.631 as wide and 17 px below the crop's centre.
        self.register_buffer("window", torch.tensor([[0.631, 0, 0], [0, 0.631, 0.272]]), persistent=False)
        self.chip = chip

    def forward(self, x: Tensor, *, jitter: bool = True) -> tuple[Tensor, list[Tensor]]:
        """x (N,3,128,128) RGB in -1..1. Jitter (small similarity, brightness, contrast, noise, sometimes half
        resolution) keeps the loss from being answered by adversarial noise."""
        n = len(x)
        theta = self.window.expand(n, 2, 3)
        if jitter:
            zoom, angle = 1 + 0.06 * torch.randn(n), 0.06 * torch.randn(n)
            cos, sin = zoom * angle.cos(), zoom * angle.sin()
            turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1).to(x)
            theta = torch.cat([turn @ theta[:, :, :2], theta[:, :, 2:] + 0.04 * torch.randn(n, 2, 1).to(x)], 2)
            gain, offset = 1 + 0.1 * torch.randn(n, 1, 1, 1), 0.05 * torch.randn(n, 1, 1, 1)
            x = x * gain + offset + 0.04 * torch.randn_like(x)
            if torch.rand(()) < 0.4:
                x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        grid = F.affine_grid(theta, [n, 3, self.chip, self.chip], align_corners=False)
        chip = F.grid_sample(x, grid, align_corners=False, padding_mode="border")
        embedding, *features = self.net(((chip + 1) * 127.5).contiguous(memory_format=torch.channels_last))
        return embedding, features
