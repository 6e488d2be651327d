"""Whom a stream anonymises: the largest face, the faces in a region, everybody but known people.

A selection decides on tracks, not on frames: an undecided track is anonymised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.track import TrackedFace

__all__ = ["EverySelection", "LargestFace", "Region", "Selection"]

_ABOUT_AS_LARGE = 0.8


class Selection(Protocol):
    """Chooses whom a stream anonymises. It remembers tracks, so each stream needs one of its own."""

    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """Those of a frame's faces that are to be anonymised, in the same order; all others stay as they are.

        frame: (H, W, 3) uint8 BGR, not changed.
        """

    def forget(self) -> None:
        """The tracks end here and their numbers may come again for other people."""


class _Tracks:
    """Remembers the tracks that were chosen once: they stay anonymised until they end."""

    def __init__(self) -> None:
        self._chosen: set[int] = set()

    def keep(self, now: set[int], faces: Sequence[TrackedFace]) -> tuple[TrackedFace, ...]:
        """Of a frame's faces those whose tracks are chosen now or were before."""
        self._chosen = (self._chosen | now) & {face.track for face in faces}
        return tuple(face for face in faces if face.track in self._chosen)

    def forget(self) -> None:
        """See Selection."""
        self._chosen = set()


class LargestFace(_Tracks):
    """Anonymises the largest face alone. Smaller ones stay visible.

    Faces with at least 80 % of the largest one's side count as largest, too. A track that was the largest once stays
    anonymised until it ends.
    """

    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """See Selection."""
        sides = [float((face.face.box[2:] - face.face.box[:2]).max()) for face in faces]
        enough = _ABOUT_AS_LARGE * max(sides, default=0.0)
        return self.keep({face.track for face, side in zip(faces, sides, strict=True) if side >= enough}, faces)


class Region(_Tracks):
    """Anonymises the faces in a part of the frame. Faces outside stay visible.

    x, y, width, height: the part, in frame px; x and y from 0, width and height from 1. A face is in it when its box
    with a tenth of its size around it touches the region. A track that was in it once stays anonymised until it ends.

    Raises ArgumentError for a region of another kind.
    """

    def __init__(self, x: int, y: int, width: int, height: int) -> None:
        super().__init__()
        for name, value, least in (("x", x, 0), ("y", y, 0), ("width", width, 1), ("height", height, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ArgumentError(f"region: got {name} {value!r}, takes x,y,width,height in px, whole numbers")
        self._low = np.array([x, y], np.float64)
        self._high = np.array([x + width, y + height], np.float64)

    def check(self, size: tuple[int, int]) -> None:
        """Raises ArgumentError when the region lies outside of frames of a size (width, height), px."""
        if (self._low >= size).any():
            x, y = self._low.astype(int)
            raise ArgumentError(f"region: got a start at {x},{y}, takes one inside {size[0]}x{size[1]} px frames")

    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """See Selection."""
        return self.keep({face.track for face in faces if self._touches(face)}, faces)

    def _touches(self, tracked: TrackedFace) -> bool:
        low, high = tracked.face.box[:2], tracked.face.box[2:]
        around = 0.1 * float((high - low).max())
        return bool((low - around < self._high).all() and (high + around > self._low).all())


class EverySelection:
    """Anonymises whom every one of several selections chooses: the largest face of a region, say."""

    def __init__(self, selections: Sequence[Selection]) -> None:
        self._selections = tuple(selections)

    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """See Selection."""
        chosen = [{face.track for face in selection.choose(faces, frame)} for selection in self._selections]
        return tuple(face for face in faces if all(face.track in tracks for tracks in chosen))

    def forget(self) -> None:
        """See Selection."""
        for selection in self._selections:
            selection.forget()
