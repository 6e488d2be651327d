"""One frame's originals, and whether a protected frame is the one that they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import FrameError
from mfm_edge.fingerprint import TOLERANCE, difference
from mfm_edge.types import check_frame

__all__ = ["SealedFrame", "SealedRegion"]


@dataclass(frozen=True, slots=True, eq=False)
class SealedRegion:
    """x, y: px of the top left pixel in the frame. pixels: (h, w, 3) uint8 BGR, the original.

    fingerprint: of what the protected frame shows there, see mfm_edge.fingerprint; None where version 1 kept none.
    """

    x: int
    y: int
    pixels: NDArray[np.uint8]
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SealedFrame:
    """One frame's originals. index: from 0, no gaps. time: s on the video's clock or None."""

    index: int
    time: float | None
    regions: tuple[SealedRegion, ...]

    def belongs_to(self, frame: NDArray[np.uint8], following: SealedFrame | None = None) -> bool:
        """Whether a protected (H, W, 3) uint8 BGR frame shows at every region what it showed when it was sealed.

        What a codec changes is allowed for. following: the next sealed frame; a frame that resembles that one clearly
        more belongs to a later one. True where nothing was kept to compare: by version 1, or without regions.
        """
        own = self.difference(frame)
        later = math.inf if following is None or not following.regions else following.difference(frame)
        return own <= TOLERANCE and later >= 0.75 * own - 1

    def difference(self, frame: NDArray[np.uint8]) -> float:
        """How far a frame is from what was sealed, in levels of 255 at the region that differs most."""
        check_frame(frame)
        largest = 0.0
        for region in self.regions:
            height, width = region.pixels.shape[:2]
            place = frame[region.y : region.y + height, region.x : region.x + width]
            if place.shape != region.pixels.shape:
                return math.inf
            if region.fingerprint is not None:
                largest = max(largest, difference(place, region.fingerprint))
        return largest

    def restore(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of a protected (H, W, 3) uint8 BGR frame with the originals put back; the rest stays as it is.

        Raises FrameError for a frame that is smaller than the sealed one.
        """
        out = check_frame(frame).copy()
        for region in self.regions:
            height, width = region.pixels.shape[:2]
            place = out[region.y : region.y + height, region.x : region.x + width]
            if place.shape != region.pixels.shape:
                raise FrameError(
                    f"frame: got {frame.shape[1]}x{frame.shape[0]} px, smaller than the one that was sealed"
                )
            place[...] = region.pixels
        return out
