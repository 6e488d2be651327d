"""Faces in frames, made of crops: seen at some size and in some light, protected, coded, and aligned again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import extract, invert
from mfm_edge.paste import paste
from mfm_edge.types import CROP_SIZE
from training.metrics.channels import h264, jpeg

__all__ = ["Scenes"]

SIDES = 48.0, 320.0  # px in a frame, of what becomes a crop: its face is about three quarters as wide
AROUND = 1.4  # sides of a frame, in those
TURN = 0.15  # standard deviation, rad
DARKEST = 0.15  # of a picture's brightness, in a third of the scenes
CRF = 18, 30  # of H.264
QUALITIES = 60, 96  # of JPEG
REALIGNED = 0.25  # px, what a face found again is off by

Crops = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scenes:
    """frames: of one size, uint8 BGR. matrices: frame px -> crop px, (2, 3) each."""

    frames: list[NDArray[np.uint8]]
    matrices: list[NDArray[np.float64]]

    @classmethod
    def of(cls, crops: Crops, rng: np.random.Generator) -> Scenes:
        """Each crop (N, 128, 128, 3) uint8 RGB in a frame of its own, all at one size drawn from SIDES."""
        side = float(np.exp(rng.uniform(*np.log(SIDES))))
        size = 2 * int(np.ceil(AROUND * side / 2))
        everywhere = np.ones((CROP_SIZE, CROP_SIZE), np.float32)
        frames, matrices = [], []
        for crop in crops:
            brightness = np.exp(rng.uniform(np.log(DARKEST), 0)) if rng.random() < 1 / 3 else 1.0
            picture = np.rint(brightness * crop[..., ::-1]).astype(np.uint8)
            matrix = _about(side / CROP_SIZE, rng.normal(0, TURN), size / 2 + rng.uniform(-1, 1, 2))
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            frame = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            paste(frame, picture, matrix, everywhere)
            frames.append(frame)
            matrices.append(matrix)
        return cls(frames, matrices)

    def crops(self) -> Crops:
        """(N, 128, 128, 3) uint8 RGB: as a stream cuts them out."""
        return _cut_out(self.frames, self.matrices)

    def sent(self, crops: Crops, rng: np.random.Generator) -> Crops:
        """What comes back of crops (N, 128, 128, 3) uint8 RGB that are pasted in: half of the time from H.264, else
        from JPEG or from the frames as they are; a third of the faces found again without records."""
        frames = [frame.copy() for frame in self.frames]
        for frame, crop, matrix in zip(frames, crops, self.matrices, strict=True):
            paste(frame, np.ascontiguousarray(crop[..., ::-1]), matrix)
        kind = rng.random()
        if kind < 0.5:
            frames = h264(frames, int(rng.integers(*CRF)))
        elif kind < 0.75:
            coded = jpeg(np.stack(frames)[..., ::-1], int(rng.integers(*QUALITIES)))
            frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in coded]
        off = [rng.normal(0, REALIGNED, 2) * (rng.random() < 1 / 3) for _ in frames]
        found = [m + np.column_stack([np.zeros((2, 2)), o]) for m, o in zip(self.matrices, off, strict=True)]
        return _cut_out(frames, found)


def _cut_out(frames: list[NDArray[np.uint8]], matrices: list[NDArray[np.float64]]) -> Crops:
    return np.stack([extract(frame, matrix)[..., ::-1] for frame, matrix in zip(frames, matrices, strict=True)])


def _about(scale: float, angle: float, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3), frame px -> crop px: the crop's centre lies at `centre`, `scale` frame px per crop px, turned by `angle`
    rad."""
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return invert(np.column_stack([linear, centre - linear @ np.full(2, (CROP_SIZE - 1) / 2)]))
