"""What a picture looked like, in few numbers that survive a codec: whether it is the one a record was written for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_BYTES", "TOLERANCE", "difference", "fingerprint", "looks_like"]

_GRID = 8
MAX_BYTES = _GRID * _GRID
"""Longest fingerprint."""

_CELL = 8  # px a cell has at least: the mean of fewer does not survive a codec
TOLERANCE = 12.0
"""Levels of 255. Parts of 32 to 128 px of real clips: H.264 at crf 28 changed at most 6, a fifth of a second most often
more than 20. At crf 40 some pass the limit, and are then taken for another picture."""


def fingerprint(image: NDArray[np.uint8], *, without: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    """Mean luminance of the cells of a grid of at most 8x8, a byte each, from the top left by rows.

    image: (h, w, 3) uint8 BGR of any size. without: x0, y0, x1, y1 (exclusive) of what is left out of it.
    """
    gray = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    for x0, y0, x1, y1 in without:
        gray[y0:y1, x0:x1] = 0
    height, width = gray.shape
    cells = (_cells(width), _cells(height))
    return bytes(np.asarray(cv2.resize(gray, cells, interpolation=cv2.INTER_AREA), np.uint8).tobytes())


def looks_like(image: NDArray[np.uint8], known: bytes, *, without: Sequence[tuple[int, int, int, int]] = ()) -> bool:
    """Whether `image` may be the picture of this fingerprint after a codec. A picture of another size is not."""
    return difference(image, known, without=without) <= TOLERANCE


def difference(image: NDArray[np.uint8], known: bytes, *, without: Sequence[tuple[int, int, int, int]] = ()) -> float:
    """How far a picture is from a fingerprint in levels of 255, at the cells that differ most; inf for another size."""
    own = np.frombuffer(fingerprint(image, without=without), np.uint8).astype(np.int16)
    other = np.frombuffer(known, np.uint8)
    if own.shape != other.shape:
        return math.inf
    # The largest differences: what moves is small against what stands still.
    largest = np.sort(np.abs(own - other))[-max(1, own.size // 32) :]
    return float(largest.mean())


def _cells(side: int) -> int:
    return min(max(side // _CELL, 1), _GRID)
