"""MTCNN, the detector of the paper: three small networks, each sifting what the one before let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect.boxes import suppress
from mfm_edge.errors import ArgumentError
from mfm_edge.session import check_threshold, open_shipped
from mfm_edge.types import Face, check_frame

__all__ = ["SHIPPED_MTCNN", "MtcnnDetector"]

SHIPPED_MTCNN = Path(__file__).parents[1] / "models" / "detect"
"""Folder of mtcnn_pnet.onnx, mtcnn_rnet.onnx and mtcnn_onet.onnx."""

_CELL, _STRIDE = 12, 2
"""The first network judges windows of this many px, this many px apart."""
_FACTOR = 0.709
"""From one step of the image pyramid to the next: half the area."""


class MtcnnDetector:
    """The three-stage detector. Several times slower than YuNetDetector; for comparison with published numbers.

    min_face: the smallest face looked for, frame px, 12 or more; the cost grows with the square of its inverse.
    proposal, refinement, score: the least confidence to pass the three stages, 0..1. threads: of ONNX Runtime; its own
    choice when None.

    Raises ArgumentError for a bad option, ModelError when a shipped file is missing or corrupt.
    """

    def __init__(
        self,
        *,
        min_face: int = 20,
        proposal: float = 0.6,
        refinement: float = 0.7,
        score: float = 0.7,
        threads: int | None = None,
    ) -> None:
        if isinstance(min_face, bool) or not isinstance(min_face, int) or min_face < _CELL:
            raise ArgumentError(f"min_face: got {min_face!r}, takes a whole number of px from {_CELL}")
        self._min_face = min_face
        self._proposal = check_threshold("proposal", proposal)
        self._refinement = check_threshold("refinement", refinement)
        self._score = check_threshold("score", score)
        self._pnet, self._rnet, self._onet = (
            open_shipped(SHIPPED_MTCNN / f"mtcnn_{name}.onnx", threads=threads) for name in ("pnet", "rnet", "onet")
        )

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """The faces of a (H, W, 3) uint8 BGR frame, the most certain first. Raises FrameError for another frame."""
        image = np.ascontiguousarray(check_frame(frame)[:, :, ::-1])
        boxes = _squares(self._propose(image))
        boxes, scores, _ = self._sift(self._rnet, image, boxes, side=24, least=self._refinement)
        keep = suppress(boxes, scores, 0.7)
        boxes, scores, points = self._sift(self._onet, image, _squares(boxes[keep]), side=48, least=self._score)
        keep = suppress(boxes, scores, 0.7, of_smaller=True)
        return tuple(
            Face(box=boxes[i], landmarks=points[i].reshape(5, 2), score=min(float(scores[i]), 1.0)) for i in keep
        )

    def _propose(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 4) float32 frame px: windows at every scale of which the first network thinks that they hold a face."""
        height, width = image.shape[:2]
        scale, kept, certain = _CELL / self._min_face, [], []
        while min(height, width) * scale >= _CELL:
            size = (int(width * scale + 1), int(height * scale + 1))
            resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            score, shift = self._pnet.run(["score", "shift"], {"input": _normalised(resized[None])})
            rows, columns = np.nonzero(score[0, 1] >= self._proposal)
            corner = np.stack([columns, rows], axis=1).astype(np.float32) * _STRIDE
            ratio = np.array([width / size[0], height / size[1]], np.float32)
            windows = np.concatenate([corner * ratio, (corner + _CELL) * ratio], axis=1)
            scores = score[0, 1, rows, columns]
            windows = _shifted(windows, shift[0, :, rows, columns])
            keep = suppress(windows, scores, 0.5)
            kept.append(windows[keep])
            certain.append(scores[keep])
            scale *= _FACTOR
        if not kept:
            return np.zeros((0, 4), np.float32)
        windows = np.concatenate(kept)
        proposals: NDArray[np.float32] = windows[suppress(windows, np.concatenate(certain), 0.7)]
        return proposals

    def _sift(
        self, network: Any, image: NDArray[np.uint8], boxes: NDArray[np.float32], *, side: int, least: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (N, 4), scores (N,) and, from the last network, points (N, 10) of the boxes that pass; frame px."""
        names = [output.name for output in network.get_outputs()]
        results = []
        for start in range(0, len(boxes), 256):  # bounds the memory that a crowd takes
            chunk = boxes[start : start + 256]
            crops = np.stack([_cut(image, box, side) for box in chunk])
            outputs = dict(zip(names, network.run(names, {"input": _normalised(crops)}), strict=True))
            score = outputs["score"][:, 1]
            points = outputs.get("points", np.zeros((len(chunk), 10), np.float32))
            size = chunk[:, 2:] - chunk[:, :2]
            # Five x, then five y, as parts of the window -> x y pairs in px.
            x, y = chunk[:, :1] + size[:, :1] * points[:, :5], chunk[:, 1:2] + size[:, 1:] * points[:, 5:]
            points = np.stack([x, y], axis=2).reshape(-1, 10) - np.float32(0.5)
            keep = score >= least
            results.append((_shifted(chunk, outputs["shift"])[keep], score[keep], points[keep]))
        if not results:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 10), np.float32)
        found, scores, landmarks = (np.concatenate(part) for part in zip(*results, strict=True))
        return found, scores, landmarks


def _normalised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    return (planes - np.float32(127.5)) * np.float32(1 / 128)


def _shifted(boxes: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (N, 4) with each side moved by a part of the box's size (N, 4)."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + shift * np.tile(size, 2)


def _squares(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (N, 4) grown around their centres into squares of whole px."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)[:, None] / 2
    squares = np.concatenate([np.floor(centre - half), np.floor(centre - half) + np.ceil(2 * half)], axis=1)
    sensible: NDArray[np.float32] = squares[(half[:, 0] >= 1) & np.isfinite(squares).all(1)]
    return sensible


def _cut(image: NDArray[np.uint8], box: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """(side, side, 3) uint8: a box of whole px, black where it reaches beyond the image."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(value) for value in box)
    inside = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if inside.shape[:2] != (y1 - y0, x1 - x0):
        if inside.size == 0:
            return np.zeros((side, side, 3), np.uint8)
        edges = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
        inside = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    shrinks = y1 - y0 > side
    return cv2.resize(inside, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
