"""Convolutions of pretrained networks that come from TensorFlow."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["HalvingConvolution"]


class HalvingConvolution(nn.Conv2d):
    """Of stride 2, padded as TensorFlow pads: less at the top and left. For sides that are even."""

    def __init__(self, before: int, after: int, kernel: int, *, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride=2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        most = self.kernel_size[0] // 2
        return super().forward(F.pad(x, (most - 1, most, most - 1, most)))
