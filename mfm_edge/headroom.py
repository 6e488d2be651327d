"""Headroom in a surrogate's pixels: what would be clipped is squeezed instead, and comes back when it is restored.

A key lights a face differently and draws another one, which takes bright places beyond white and dark ones beyond
black. One clipped spot is noise all over the restored face, since the key scrambles what varies over the whole of it.
So the brightest and the darkest levels of a surrogate stand for more than they are: as film has a shoulder and a toe.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.style import face_mask
from mfm_edge.types import CROP_SIZE, WINDOW

__all__ = ["KNEE", "WHITE", "bend", "squeeze", "stretch"]

KNEE = 0.7
"""Pixels in -1..1: what is nearer to grey stays as it is."""

WHITE = 1.05
"""What white stands for in the face, and its negative what black does. More clips less, and makes more of codec noise
in bright and dark places."""

_BORDER = 8  # px of the window in which it begins, so that no edge is seen


@lru_cache(maxsize=1)
def bend() -> NDArray[np.float32]:
    """(128, 128) float32, read-only: how much levels beyond the knee are squeezed; 0 where a face is not changed."""
    top, left, side = WINDOW
    steps = np.arange(side, dtype=np.float32)
    ramp = np.clip(np.minimum(steps, steps[::-1]) / _BORDER, 0, 1)
    share = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    share[top : top + side, left : left + side] = ramp[:, None] * ramp
    share *= np.clip(4 * (face_mask(CROP_SIZE) - 0.05), 0, 1)
    share *= np.float32((WHITE - 1) / (WHITE - KNEE))
    share.setflags(write=False)
    return share


def squeeze(faces: Any, bend: Any) -> Any:
    """Faces (N,3,128,128), -WHITE..WHITE in the middle -> the same in -1..1. bend: as `bend` gives it.

    Of numpy arrays or tensors, both of one kind, which training runs this on, too.
    """
    level = abs(faces).clip(KNEE)
    beyond = (level - KNEE) / (1 - KNEE)
    return faces * ((KNEE + (1 - KNEE) * beyond / (1 + bend * beyond)) / level)


def stretch(faces: Any, bend: Any) -> Any:
    """The inverse of `squeeze` for faces in -1..1; bend: the same."""
    return squeeze(faces, -bend)
