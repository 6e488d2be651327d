"""What is shown when a surrogate cannot be trusted: fewer blocks than a face has features, never the face itself."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE, estimate_transform, frame_scale
from mfm_edge.errors import ArgumentError, FrameError
from mfm_edge.track import TrackedFace
from mfm_edge.types import WINDOW, Face, check_frame

__all__ = ["BLOCKS", "MIN_SCALE", "MIN_SCORE", "SteadyTrust", "cover_face", "cover_frame", "hides", "trusts"]

BLOCKS = 6
"""A covered region has at most this many blocks along its longer side. The face fills about two thirds of it, so that
its eyes, nose and mouth share four blocks each way."""

MIN_SCALE = 0.2
"""Frame px per crop px below which a face is too small for the network: its crop spans less than 26 px."""

MIN_SCORE = 0.3
"""Detector's confidence below which the landmarks are not believed."""

_MAX_RESIDUAL = 8.0
"""Crop px, root mean square: landmarks further than this from the template are those of a profile, or of no face. Over
3,000 faces of CelebA the median is 2.3, 99 % are below 6.2, 99.5 % below 7.0. Profiles in a real clip have 8 to 13.

Measured on the network of step 22644, which is told where the landmarks are. From 8 to 10, of 41 faces that it never
saw (10 of CelebA's, 29 of a clip, 2 of photos) SFace and MobileFaceNet matched no surrogate to its original, and 39 and
37 of the restored ones, at 31 to 34 dB (36 below 4); of 108 surrogates of faces that it was trained on SFace matched
7, MobileFaceNet one. But what one sees is a face that looks at the viewer in the outline of a profile that stays as it
was, and recognisers do not judge outlines. From 10 to 13, three of six unseen faces did not come back (21 dB)."""

_CALM = 10
"""Frames in a row for which a track that had to be covered must be trusted again before it is shown as a surrogate."""

_LEAST_CHANGE = 1.0
"""Grey levels, mean over the network's window. In the real clips faces in the dark change by 1.9 at least."""

_LEVELS = 16
"""Colours are rounded to multiples of this: averages over many frames then add no detail."""


def trusts(face: Face, *, min_scale: float = MIN_SCALE, min_score: float = MIN_SCORE) -> bool:
    """Whether the network can make a surrogate for a face: large enough, certain enough, not in profile.

    min_scale: frame px per crop px. min_score: 0..1. When False, cover the face instead.
    """
    try:
        matrix = estimate_transform(face.landmarks)
    except ArgumentError:
        return False
    residual = face.landmarks @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE
    close = float(np.sqrt((residual**2).sum(1).mean())) <= _MAX_RESIDUAL
    return close and frame_scale(matrix) >= min_scale and face.score >= min_score


def hides(crop: NDArray[np.uint8], surrogate: NDArray[np.uint8]) -> bool:
    """Whether a surrogate is another picture than the crop that it was made from, both (128, 128, 3) uint8. When False,
    something is broken behind the network: cover the face instead."""
    top, left, side = WINDOW
    window = np.s_[top : top + side, left : left + side]
    return float(cv2.absdiff(crop[window], surrogate[window]).mean()) >= _LEAST_CHANGE


class SteadyTrust:
    """`trusts` for the tracks of a stream, without blinking: what had to be covered stays so for a while."""

    def __init__(self) -> None:
        self._covered: dict[int, int] = {}  # track -> frames in a row that it is trusted again

    def __call__(self, faces: Sequence[TrackedFace]) -> list[bool]:
        """For each face of the next frame whether to make a surrogate; when False, cover it."""
        decided, covered = [], {}
        for face in faces:
            again = self._covered.get(face.track, _CALM) + 1 if trusts(face.face) else 0
            if again < _CALM:
                covered[face.track] = again
            decided.append(again >= _CALM)
        self._covered = covered
        return decided


def cover_face(frame: NDArray[np.uint8], face: Face) -> None:
    """Pixelates a face beyond recognition, in place.

    frame: (H, W, 3) uint8 BGR, writable. Covered are the box and the landmarks with a quarter of their size around
    them: at most 6 blocks along the longer side, low-passed over neighbouring blocks, in 16 levels a channel. Pixels
    outside stay bit-identical. Nothing restores it.

    Raises FrameError for another frame.
    """
    frame = check_frame(frame)
    if not frame.flags.writeable:
        raise FrameError("frame: got a read-only array, takes a writable one (it is changed in place)")
    height, width = frame.shape[:2]
    low = np.minimum(face.box[:2], face.landmarks.min(0))
    high = np.maximum(face.box[2:], face.landmarks.max(0))
    around = 0.25 * (high - low).max() + 2
    x0, y0 = np.clip(np.floor(low - around), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(high + around) + 1, 0, (width, height)).astype(int)
    if x0 < x1 and y0 < y1:
        frame[y0:y1, x0:x1] = _blocks(frame[y0:y1, x0:x1])


def cover_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A new frame of the same size with the whole of it pixelated, for when it is not known where the faces are.

    frame: (H, W, 3) uint8 BGR. At most 6 blocks along the longer side. Raises FrameError for another frame.
    """
    return _blocks(check_frame(frame))


def _blocks(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = region.shape[:2]
    longer = max(height, width)
    columns, rows = max(1, round(BLOCKS * width / longer)), max(1, round(BLOCKS * height / longer))
    means = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(means, (3, 3), 0.7, borderType=cv2.BORDER_REPLICATE)
    levels = np.clip(np.rint(smooth / _LEVELS) * _LEVELS, 0, 255).astype(np.uint8)
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST)
