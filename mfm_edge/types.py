"""What the SDK hands around: frozen records of numpy arrays with fixed shapes, dtypes and units.

Coordinates are pixels with the origin at the centre of the top left pixel, x to the right and y down, as in OpenCV.
Matrices map frame pixels to crop pixels. Colour order is BGR everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, FrameError

__all__ = [
    "CROP_SIZE",
    "MIN_FRAME_SIDE",
    "SLOTS",
    "WINDOW",
    "AlignedFace",
    "Face",
    "FaceRecord",
    "Protected",
    "Restored",
    "Treatment",
    "check_frame",
]

CROP_SIZE = 128
"""Side of an aligned face crop, px."""

WINDOW = (28, 16, 96)
"""Top, left and side, crop px, of the window that the network computes. Outside it every crop stays as it was."""

SLOTS = 16
"""How many keys a stream or a picture has: its faces take them in turn. More would part more people, and take longer
where restoring has to try all."""

MIN_FRAME_SIDE = 64
"""Shortest side of a frame that the SDK accepts, px."""


class Treatment(str, Enum):
    """How a face was protected. A str, so that it goes into JSON as it is."""

    SURROGATE = "surrogate"
    """Replaced by a realistic face that the right factors turn back."""
    COVERED = "covered"
    """Pixelated beyond recognition, because a surrogate could not be trusted. Nothing restores it."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face.

    box: (4,) float32, x0 y0 x1 y1 in frame px; may reach beyond the frame.
    landmarks: (5, 2) float32, x y in frame px: the eye on the image's left, the eye on its right, the nose tip, the
        mouth corner on the left, the mouth corner on the right.
    score: the detector's confidence, 0..1.

    Raises ArgumentError when a shape is wrong or a value is not finite.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", _array("Face.box", self.box, (4,), np.float32))
        object.__setattr__(self, "landmarks", _array("Face.landmarks", self.landmarks, (5, 2), np.float32))
        object.__setattr__(self, "score", float(self.score))


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face cut out in the template's geometry.

    crop: (128, 128, 3) uint8 BGR.
    matrix: (2, 3) float64, frame px -> crop px.
    landmarks: (5, 2) float32, crop px, in the order of Face.landmarks, to a hundredth.
    """

    crop: NDArray[np.uint8]
    matrix: NDArray[np.float64]
    landmarks: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FaceRecord:
    """What restoring needs to know about one protected face: nothing about the person or the password.

    matrix: (2, 3) float64, frame px -> crop px.
    box: (4,) float32, x0 y0 x1 y1 in frame px.
    score: the detector's confidence, 0..1.
    track: the identity across frames of a stream, None for single images.
    slot: which of the stream's or picture's SLOTS keys the face has, from 0; None where it is not known, and restoring
        tries all.
    treatment: how the face was protected.
    landmarks: (5, 2) float32, crop px, in the order of Face.landmarks: where the surrogate has eyes, nose and mouth;
        None where it is not known, which stands for the template's.
    beyond: what of the surrogate, a picture that nobody has to hide, lies beyond the frame's edge, see mfm_edge.beyond;
        None where nothing does or it is not known, which leaves the restored face noisy.

    Raises ArgumentError when a shape is wrong, a value is not finite or there is no such slot.
    """

    matrix: NDArray[np.float64]
    box: NDArray[np.float32]
    score: float
    track: int | None = None
    slot: int | None = None
    treatment: Treatment = Treatment.SURROGATE
    landmarks: NDArray[np.float32] | None = None
    beyond: bytes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", _array("FaceRecord.matrix", self.matrix, (2, 3), np.float64))
        object.__setattr__(self, "box", _array("FaceRecord.box", self.box, (4,), np.float32))
        if self.landmarks is not None:
            landmarks = _array("FaceRecord.landmarks", self.landmarks, (5, 2), np.float32)
            object.__setattr__(self, "landmarks", landmarks)
        object.__setattr__(self, "score", float(self.score))
        if self.slot is not None and self.slot not in range(SLOTS):
            raise ArgumentError(f"FaceRecord.slot: got {self.slot!r:.40}, takes 0 to {SLOTS - 1}, or None")


@dataclass(frozen=True, slots=True, eq=False)
class Protected:
    """An anonymised frame.

    frame: (H, W, 3) uint8 BGR, the size of the input.
    faces: one record a face.
    incidents: how often protection was uncertain in this frame, so that more than the faces was covered.
    visible: faces that were left as they are because a selection said so.
    """

    frame: NDArray[np.uint8]
    faces: tuple[FaceRecord, ...]
    incidents: int = 0
    visible: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """A restored frame.

    frame: (H, W, 3) uint8 BGR, the size of the input.
    faces: the records that were restored.
    """

    frame: NDArray[np.uint8]
    faces: tuple[FaceRecord, ...]


def check_frame(frame: Any, *, name: str = "frame") -> NDArray[np.uint8]:
    """Returns `frame` when it is a (H, W, 3) uint8 BGR array with both sides >= 64, else raises FrameError.

    The same object comes back: nothing is copied or converted. Grey, BGRA and float frames are refused, because a
    silent conversion would hide a wrong channel order or range.
    """
    takes = f"a (H, W, 3) uint8 BGR numpy array with both sides >= {MIN_FRAME_SIDE}"
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"{name}: got {type(frame).__name__}, takes {takes}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < MIN_FRAME_SIDE:
        raise FrameError(f"{name}: got {frame.dtype} of shape {frame.shape}, takes {takes}")
    return frame


def _array(name: str, value: Any, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    """A read-only copy of `value` in the stated shape and dtype, every element finite."""
    takes = f"{shape} finite numbers"
    try:
        array = np.array(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: got {type(value).__name__} ({error}), takes {takes}") from None
    if array.shape != shape:
        raise ArgumentError(f"{name}: got shape {array.shape}, takes {takes}")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{name}: got a value that is not finite, takes {takes}")
    array.setflags(write=False)
    return array
