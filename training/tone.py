"""The tone curve: where the network adds and takes away, brightness has no end that a change could run against.

What is clipped in a surrogate cannot be restored, and white or black patches are no faces. On this scale, a logit of
brightness, a change that would leave the range of a pixel becomes a smaller one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["BRIGHTEST", "slope", "tone", "untone"]

# Between the ends of a pixel's range and those of the curve. Smaller clips less, and makes more of rounding and codec
# noise in very dark and very bright places: at the ends they weigh 3.3 times as much as in the middle.
MARGIN = 0.1
END = math.log((1 + MARGIN) / MARGIN)
BRIGHTEST = 0.65
"""Luminance of what is drawn, on the curve and either way: the rest is for colour and for what was not expected."""


def tone(x: Tensor) -> Tensor:
    """Pixels in -1..1 -> the same on the curve, -1..1."""
    return torch.logit((x + 1 + 2 * MARGIN) / (2 + 4 * MARGIN)) / END


def untone(v: Tensor) -> Tensor:
    """The inverse of `tone`; whatever comes in, the result is within -1.2..1.2."""
    return torch.sigmoid(v * END) * (2 + 4 * MARGIN) - 1 - 2 * MARGIN


def slope(v: Tensor) -> Tensor:
    """How steeply pixels rise with the curve at `v`, in units of how they do in the middle."""
    return 2 / (1 + (v * END).cosh())
