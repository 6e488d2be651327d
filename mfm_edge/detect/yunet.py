"""The embedded detector: YuNet, 75 thousand parameters."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect.boxes import suppress
from mfm_edge.detect.session import check_threshold, open_shipped
from mfm_edge.errors import ArgumentError
from mfm_edge.types import Face, check_frame

__all__ = ["SHIPPED_YUNET", "YuNetDetector"]

SHIPPED_YUNET = Path(__file__).parents[1] / "models" / "detect" / "yunet_2023mar_fp32.onnx"

_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in _STRIDES)
_LARGEST = 0.6
"""A face taller than this part of the working image is beyond what the network was trained on: look at it smaller."""


class YuNetDetector:
    """Finds faces from about 10 px of the working image up to ones that fill the frame.

    score: the least confidence that counts as a face, 0..1. max_side: frames are reduced until their longer side has
    this many px, 64 or more; more finds smaller faces and costs in proportion to the square. overlap: two boxes whose
    intersection exceeds this part of their union are one face. threads: of ONNX Runtime; its own choice when None.

    Frames without a face, and close-ups in which one fills the view, are looked at a second time, smaller and with a
    border around them: the network does not know faces that fill the image or touch its edges.

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
        scale = min(1.0, self._max_side / max(height, width))
        found = self._look(frame, scale, border=0)
        tallest = float((found[:, 3] - found[:, 1]).max(initial=0.0))
        if len(found) == 0 or tallest > _LARGEST * height:
            # A third of the frame as border on every side, the whole at most 320 px: costs a quarter of the first look.
            around = max(height, width) // 3
            small = min(1.0, 320 / (max(height, width) + 2 * around))
            found = np.concatenate([found, self._look(frame, small, border=around)])
        keep = suppress(found[:, :4], found[:, 14], self._overlap)
        return tuple(
            Face(box=row[:4], landmarks=row[4:14].reshape(5, 2), score=min(float(row[14]), 1.0)) for row in found[keep]
        )

    def _look(self, frame: NDArray[np.uint8], scale: float, *, border: int) -> NDArray[np.float32]:
        """(N, 15) float32, frame px: box, five landmarks, score. border: black px around the frame, before scaling."""
        height, width = frame.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = frame if size == (width, height) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        margin = round(border * scale)
        rows, columns = (-(-(side + 2 * margin) // 32) * 32 for side in (size[1], size[0]))
        padded = np.zeros((1, 3, rows, columns), np.float32)
        padded[0, :, margin : margin + size[1], margin : margin + size[0]] = image.transpose(2, 0, 1)
        outputs = dict(zip(_OUTPUTS, self._session.run(_OUTPUTS, {"input": padded}), strict=True))

        found = []
        for stride in _STRIDES:
            cls, obj = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
            scores = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
            hits = np.flatnonzero(scores >= self._score)
            cells = _cells(rows // stride, columns // stride)[hits]
            shift, size_log = np.split(outputs[f"bbox_{stride}"][0, hits], 2, axis=1)
            centre, half = (cells + shift) * stride, np.exp(size_log) * (stride / 2)
            points = (cells[:, None] + outputs[f"kps_{stride}"][0, hits].reshape(-1, 5, 2)) * stride
            found.append(
                np.concatenate([centre - half, centre + half, points.reshape(-1, 10), scores[hits, None]], axis=1)
            )
        result: NDArray[np.float32] = np.concatenate(found)
        # Pixel centres are whole numbers in the frame; the network's cells count from the image's corner.
        ratio = np.array([width / size[0], height / size[1]], np.float32)
        coordinates = result[:, :14].reshape(-1, 7, 2)
        result[:, :14] = ((coordinates - margin + _HALF) * ratio - _HALF).reshape(-1, 14)
        return result


_HALF = np.float32(0.5)


@lru_cache(maxsize=16)
def _cells(rows: int, columns: int) -> NDArray[np.float32]:
    """(rows * columns, 2) float32: x y of every cell, row by row."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], axis=1).astype(np.float32)
