"""What happens to an anonymised crop before it is restored: quantised, pasted into a frame, coded, cut out again."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import to_crops

__all__ = ["channel", "coded", "quantise"]

QUALITIES = (55, 96)  # of JPEG, from and below


def quantise(y: Tensor) -> Tensor:
    """Round to the 256 levels of uint8; gradients pass straight through."""
    rounded = ((y.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    return y + (rounded - y).detach()


def coded(y: Tensor) -> Tensor:
    """As JPEG leaves it, at a quality drawn for each picture; gradients pass straight through. Video codecs do much the
    same: they round the coefficients of blocks, and keep colour at half the resolution."""
    pixels = to_crops(y)
    found = np.empty_like(pixels)
    for out, picture in zip(found, pixels, strict=True):
        quality = int(torch.randint(*QUALITIES, ()))
        file = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out[...] = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
    left = torch.from_numpy(found).to(y.device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return y + (left - y).detach()


def _resample(y: Tensor) -> Tensor:
    """Warp into a frame of another scale and position, and back: what paste and alignment do to a crop."""
    n = len(y)
    size = int(128 * float(torch.empty(()).uniform_(0.7, 2.0)))
    angle, shift = 0.15 * torch.randn(n), 0.01 * torch.randn(n, 2)
    scale = 1.0
    cos, sin = scale * angle.cos(), scale * angle.sin()
    there = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    turned = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    back = torch.cat([turned, -turned @ shift[:, :, None]], 2)
    there, back = there.to(y.device), back.to(y.device)
    frame = F.grid_sample(
        y, F.affine_grid(there, [n, 3, size, size], align_corners=False), align_corners=False, padding_mode="border"
    )
    frame = coded(frame)
    return F.grid_sample(
        frame, F.affine_grid(back, list(y.shape), align_corners=False), align_corners=False, padding_mode="border"
    )


def channel(y: Tensor) -> Tensor:
    """(N,3,128,128) in -1..1, differentiable. Half of the batch is only quantised, the other half also resampled and
    coded."""
    y = quantise(y)
    half = len(y) // 2
    rough = quantise(_resample(y[half:]))
    return torch.cat([y[:half], rough]).contiguous(memory_format=torch.channels_last)
