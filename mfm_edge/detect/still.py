"""Spares the detector where nothing has changed since it last looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.types import Face, check_frame

if TYPE_CHECKING:
    from mfm_edge.detect import Detector

__all__ = ["StillSceneDetector"]

_CELLS = 160
"""Cells along a frame's longer side, about. A face of 10 px in a detector's picture of 640 fills one anywhere."""
_CHANGED = 3.0
"""Grey levels by which a cell's mean must differ, in any colour. Sensor noise of 3 levels stays below at 1280x720."""


class StillSceneDetector:
    """Asks another detector only when the picture is not as it was when that one last looked.

    A frame is as it was when no cell of it, 8x8 px at 1280x720, has another mean colour. It is compared with the frame
    that was looked at, not with the one before, so that what comes slowly is noticed, too. What is not noticed is a
    face that changes no cell by more than 3 grey levels, or one that the detector did not find when it looked and would
    find now: therefore it looks at every `longest`-th frame at least. A noisy camera costs time, not safety: there it
    always looks.

    For the frames of one source. Raises ArgumentError for a bad option.
    """

    def __init__(self, detector: Detector, *, longest: int = 8) -> None:
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
            raise ArgumentError(f"longest: got {longest!r}, takes a whole number of frames from 1")
        self._detector, self._longest = detector, longest
        self._seen: NDArray[np.int16] | None = None
        self._faces: tuple[Face, ...] = ()
        self._since = 0

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """See Detector."""
        now = _cells(check_frame(frame))
        self._since += 1
        if self._seen is None or self._since >= self._longest or _differ(self._seen, now):
            self._seen = None  # if the detector fails now, it is asked again
            self._faces = self._detector.detect(frame)
            self._seen, self._since = now, 0
        return self._faces

    def look_again(self) -> None:
        """The next frame is looked at in any case: the faces of this one are in doubt."""
        self._seen = None


def _cells(frame: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(rows, columns, 3) mean colours. Cells have whole sides: averaging those is exact, and cheap."""
    height, width = frame.shape[:2]
    side = max(1, round(max(height, width) / _CELLS))
    size = (-(-width // side), -(-height // side))
    missing = (size[1] * side - height, size[0] * side - width)
    if any(missing):
        frame = cv2.copyMakeBorder(frame, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.int16)


def _differ(a: NDArray[np.int16], b: NDArray[np.int16]) -> bool:
    return a.shape != b.shape or bool(np.abs(a - b).max() > _CHANGED)
