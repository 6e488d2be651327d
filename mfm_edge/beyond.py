"""What of a surrogate lies beyond the frame's edge: the frame has no place for it, and restoring needs it.

A key scrambles detail over the whole face, so whatever is missing of a surrogate is noise all over the restored face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import invert
from mfm_edge.errors import ArgumentError
from mfm_edge.image import coded_size, decode
from mfm_edge.types import CROP_SIZE, WINDOW

__all__ = ["MAX_BYTES", "beyond", "complete", "pack", "unpack"]

MAX_BYTES = 1 << 14
"""Most that `pack` gives and `unpack` takes."""
_REACH = 2
"""Crop px within the frame that resampling mixes with what lies beyond."""
_QUALITY = 95


def beyond(matrix: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.bool_]:
    """(128, 128) bool: pixels of a crop that the frame does not keep, with those next to its edge.

    matrix: (2, 3) float64, frame px -> crop px. frame_size: height, width in px.
    """
    inverse = invert(matrix)
    reach = _REACH * float(np.hypot(*inverse[:, 0]))
    height, width = frame_size

    def outside(v: NDArray[np.intp], u: NDArray[np.intp]) -> NDArray[np.bool_]:
        x, y = (row[0] * u + row[1] * v + row[2] for row in inverse)
        return np.asarray((x < reach) | (y < reach) | (x > width - 1 - reach) | (y > height - 1 - reach))

    ends = np.arange(0, CROP_SIZE, CROP_SIZE - 1)
    if not outside(*np.meshgrid(ends, ends)).any():  # as most faces
        return np.zeros((CROP_SIZE, CROP_SIZE), bool)
    return outside(*np.mgrid[:CROP_SIZE, :CROP_SIZE])


def pack(surrogate: NDArray[np.uint8], matrix: NDArray[np.float64], frame_size: tuple[int, int]) -> bytes | None:
    """What lies `beyond` of a surrogate (128, 128, 3) uint8 as a JPEG of its size, grey elsewhere; None where the
    network changes nothing there, or it is too much."""
    lost = beyond(matrix, frame_size)
    top, left, side = WINDOW
    if not lost[top : top + side, left : left + side].any():
        return None
    shown = np.where(lost[..., None], surrogate, np.uint8(128))
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, *sampling])[1].tobytes()
    return coded if len(coded) <= MAX_BYTES else None


def unpack(packed: bytes) -> NDArray[np.uint8]:
    """The inverse of `pack`: (128, 128, 3) uint8 BGR. Raises ArgumentError for anything else."""
    takes = f"a JPEG of {CROP_SIZE}x{CROP_SIZE} px in at most {MAX_BYTES} bytes"
    if not isinstance(packed, bytes) or len(packed) > MAX_BYTES or packed[:2] != b"\xff\xd8":
        raise ArgumentError(f"beyond: got {packed!r:.40}, takes {takes}")
    width, height = coded_size(packed)  # before decoding: a small file may stand for a huge picture
    if (width, height) != (CROP_SIZE, CROP_SIZE):
        raise ArgumentError(f"beyond: got {width}x{height} px, takes {takes}")
    try:
        return decode(packed)
    except ArgumentError as error:
        raise ArgumentError(f"beyond: {error}, takes {takes}") from None


def complete(
    crop: NDArray[np.uint8], packed: bytes | None, matrix: NDArray[np.float64], frame_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A crop (128, 128, 3) uint8 of a protected frame with what lies `beyond` of its surrogate, where that is known.
    Raises ArgumentError as `unpack`."""
    if packed is None:  # as most faces
        return crop
    return np.where(beyond(matrix, frame_size)[..., None], unpack(packed), crop)
