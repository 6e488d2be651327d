"""The embedded detector: YuNet, 75 thousand parameters."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect.boxes import overlaps, suppress
from mfm_edge.errors import ArgumentError
from mfm_edge.session import check_threshold, open_shipped
from mfm_edge.types import Face, check_frame

__all__ = ["SHIPPED_YUNET", "YuNetDetector"]

SHIPPED_YUNET = Path(__file__).parents[1] / "models" / "detect" / "yunet_2023mar_fp32.onnx"

_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in _STRIDES)
_LARGEST = 0.6
"""A face taller than this part of the working image is beyond what the network was trained on: look at it smaller."""
_SMALLER, _MIRRORED = 0.4, 1 / 16
"""How much smaller the second look's view is, and the part of its longer side that is mirrored beyond each edge:
640x360 become 256x144 with 16 px around, which are 288x176."""
_NEAR, _IN_DOUBT, _AT_EDGE = 0.25, -0.06, 0.05
"""What the second look finds counts only when it is taller than this part of the view, and then for less confidence
than was asked; or at an edge, where mirrors make faces of patterns, too, for more. Anything else that the first look
does not find was clothes and hands as often as faces."""


class YuNetDetector:
    """Finds faces from about 10 px of the working image up to ones that fill the frame.

    score: the least confidence that counts as a face, 0..1. max_side: frames are reduced until their longer side has
    this many px, 64 or more; more finds smaller faces and costs in proportion to the square. overlap: two boxes whose
    intersection exceeds this part of their union are one face. threads: of ONNX Runtime; its own choice when None.

    Every frame is looked at a second time, smaller and mirrored at its edges: the network sees large profiles only when
    they are small, and half a face at the frame's edge only when its mirror image makes a whole one of it. What is
    large there counts for a little less confidence, what is small only at an edge; what this finds:
    `python -m benchmarks.missed_faces`. Frames without a face, and close-ups in which one fills the view, are looked at
    once more, smaller and with a black border around them: the network does not know faces that fill the image.

    Raises ArgumentError for a bad option, ModelError when the shipped file is missing or corrupt.
    """

    def __init__(
        self, *, score: float = 0.6, max_side: int = 640, overlap: float = 0.3, threads: int | None = None
    ) -> None:
        self._score = check_threshold("score", score)
        self._overlap = check_threshold("overlap", overlap)
        if isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 64:
            raise ArgumentError(f"max_side: got {max_side!r}, takes a whole number of px from 64")
        self._max_side = max_side
        self._session = open_shipped(SHIPPED_YUNET, threads=threads)

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """The faces of a (H, W, 3) uint8 BGR frame, the most certain first. Raises FrameError for another frame."""
        frame = check_frame(frame)
        height, width = frame.shape[:2]
        view = _resized(frame, min(1.0, self._max_side / max(height, width)))
        found = self._look(view, self._score)
        for face in self._look_at_edges(view):  # where both looks found it, the first one knows better where it is
            if (overlaps(found[:, :4], face[:4]) <= self._overlap).all():
                found = np.concatenate([found, face[None]])
        found = _scaled(found, view, frame)
        tallest = float((found[:, 3] - found[:, 1]).max(initial=0.0))
        if len(found) == 0 or tallest > _LARGEST * height:
            found = np.concatenate([found, self._look_from_afar(frame)])
        keep = suppress(found[:, :4], found[:, 14], self._overlap)
        return tuple(
            Face(box=row[:4], landmarks=row[4:14].reshape(5, 2), score=min(float(row[14]), 1.0)) for row in found[keep]
        )

    def _look_at_edges(self, view: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See _look, smaller and with mirrored edges."""
        small = _resized(view, _SMALLER)
        margin = min(round(_MIRRORED * max(small.shape[:2])), min(small.shape[:2]))
        mirrored = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REFLECT)
        found = self._look(np.asarray(mirrored, np.uint8), max(0.0, self._score + _IN_DOUBT))
        found[:, :14] -= margin
        found = _scaled(found, small, view)
        low, high, size, score = found[:, :2], found[:, 2:4], found[:, 2:4] - found[:, :2], found[:, 14]
        end = (view.shape[1], view.shape[0])
        near = (size[:, 1] > _NEAR * view.shape[0]) & ((low >= 0) & (high <= end)).all(axis=1)
        at_edge = ((low < 0.1 * size) | (high > end - 0.1 * size)).any(axis=1) & (score >= self._score + _AT_EDGE)
        own = ((low > -0.75 * size) & (high < end + 0.75 * size)).all(axis=1)  # what is not is a mirror image alone
        found = found[own & (near | at_edge)]
        best: NDArray[np.float32] = found[suppress(found[:, :4], found[:, 14], self._overlap)]
        return best

    def _look_from_afar(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See _look, with a third of the frame as black border on every side, the whole at most 320 px: costs a quarter
        of the first look."""
        around = max(frame.shape[:2]) // 3
        small = _resized(frame, min(1.0, 320 / (max(frame.shape[:2]) + 2 * around)))
        margin = round(around * small.shape[1] / frame.shape[1])
        bordered = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        found = self._look(np.asarray(bordered, np.uint8), self._score)
        found[:, :14] -= margin
        return _scaled(found, small, frame)

    def _look(self, image: NDArray[np.uint8], least: float) -> NDArray[np.float32]:
        """(N, 15) float32: box and five landmarks in px of an image (H, W, 3), and the score, `least` or more."""
        height, width = image.shape[:2]
        rows, columns = (-(-side // 32) * 32 for side in (height, width))
        padded = np.zeros((1, 3, rows, columns), np.float32)
        padded[0, :, :height, :width] = image.transpose(2, 0, 1)
        outputs = dict(zip(_OUTPUTS, self._session.run(_OUTPUTS, {"input": padded}), strict=True))

        found = []
        for stride in _STRIDES:
            cls, obj = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
            scores = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
            hits = np.flatnonzero(scores >= least)
            cells = _cells(rows // stride, columns // stride)[hits]
            shift, size_log = np.split(outputs[f"bbox_{stride}"][0, hits], 2, axis=1)
            centre, half = (cells + shift) * stride, np.exp(size_log) * (stride / 2)
            points = (cells[:, None] + outputs[f"kps_{stride}"][0, hits].reshape(-1, 5, 2)) * stride
            found.append(
                np.concatenate([centre - half, centre + half, points.reshape(-1, 10), scores[hits, None]], axis=1)
            )
        result: NDArray[np.float32] = np.concatenate(found)
        result[:, :14] -= _HALF  # pixel centres are whole numbers; the network's cells count from the image's corner
        return result


_HALF = np.float32(0.5)


@lru_cache(maxsize=16)
def _cells(rows: int, columns: int) -> NDArray[np.float32]:
    """(rows * columns, 2) float32: x y of every cell, row by row."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], axis=1).astype(np.float32)


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image if size == (width, height) else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _scaled(found: NDArray[np.float32], one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What was found, from px of one size of a picture to px of another."""
    ratio = np.array([other.shape[1] / one.shape[1], other.shape[0] / one.shape[0]], np.float32)
    points = (found[:, :14].reshape(-1, 7, 2) + _HALF) * ratio - _HALF
    return np.concatenate([points.reshape(-1, 14), found[:, 14:]], axis=1)
