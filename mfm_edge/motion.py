"""How the picture moved between two frames, measured in the picture itself: sparse optical flow under each face."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Motion"]

_LONGER_SIDE = 640
"""px to which frames are reduced, about: an integral factor, which averages exactly and is cheap."""
_GRID = 8
"""Points a side that are followed in a face's box."""
_SMALLEST = 16.0
"""px of the reduced frame: a smaller box has too few points of its own."""
_AGREEING = 0.4
"""Part of the points that must agree on one motion. Mouth, eyes and the background in the box move otherwise."""
_PLAY = 0.02
"""Part of the box by which points may differ where too few agree to a pixel: a head that turns is not flat."""


class Motion:
    """Remembers the last frame, reduced, and finds where parts of it went in the next one."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._now: NDArray[np.uint8] | None = None
        self._factor = 1

    def look(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Takes the next frame, (H, W, 3) uint8 BGR, and gives it reduced and grey, (h, w) uint8. One of another size
        starts afresh."""
        height, width = frame.shape[:2]
        factor = max(1, round(max(height, width) / _LONGER_SIDE))
        size = (width // factor, height // factor)
        if factor > 1:
            frame = frame[: size[1] * factor, : size[0] * factor]
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        grey: NDArray[np.uint8] = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        same = self._now is not None and self._now.shape == grey.shape and self._factor == factor
        self._before, self._now, self._factor = self._now if same else None, grey, factor
        return grey

    def of(
        self, boxes: Sequence[NDArray[np.float64]], shifts: Sequence[NDArray[np.float64]]
    ) -> list[NDArray[np.float64] | None]:
        """For each box (4,) of the last frame the similarity transform (2, 3) that took its content into this one,
        frame px -> frame px; None where no motion can be told (flat, hidden, too small, too fast).

        shifts: (2,) px each, about how far it went: where the search starts.
        """
        if self._before is None or self._now is None or not boxes:
            return [None] * len(boxes)
        half = (self._factor - 1) / 2  # a reduced pixel's centre lies between those that it averages
        reduced = [(box - half) / self._factor for box in boxes]
        from_ = np.stack([_grid(box) for box in reduced])
        start = from_ + np.stack(shifts)[:, None].astype(np.float32) / self._factor
        to, found, _ = cv2.calcOpticalFlowPyrLK(
            self._before,
            self._now,
            from_.reshape(-1, 1, 2),
            start.reshape(-1, 1, 2).copy(),
            winSize=(13, 13),
            maxLevel=3,
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        to, found = to.reshape(from_.shape), found.reshape(from_.shape[:2]) == 1
        moves: list[NDArray[np.float64] | None] = []
        for box, a, b, good in zip(reduced, from_, to, found, strict=True):
            size = float(min(box[2:] - box[:2]))
            move = _similarity(a[good], b[good], size) if size >= _SMALLEST else None
            if move is not None:
                move[:, 2] = move[:, 2] * self._factor + half - move[:, :2] @ (half, half)
            moves.append(move)
        return moves


def _grid(box: NDArray[np.float64]) -> NDArray[np.float32]:
    """(64, 2) float32: the points of a box that are followed."""
    along = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(box[0] + along * (box[2] - box[0]), box[1] + along * (box[3] - box[1]))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def _similarity(a: NDArray[np.float32], b: NDArray[np.float32], size: float) -> NDArray[np.float64] | None:
    """size: px of the box. To a pixel where enough points agree so far: who speaks moves more than that."""
    least = round(_AGREEING * _GRID**2)
    if len(a) < least:
        return None
    for play in (1.0, _PLAY * size):
        move, agreeing = cv2.estimateAffinePartial2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=play, maxIters=200)
        if move is not None and int(agreeing.sum()) >= least:
            return np.asarray(move, np.float64)
    return None
