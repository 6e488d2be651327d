"""Which parts of a frame protecting it changed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import frame_region
from mfm_edge.record import MAX_FACES
from mfm_edge.types import FaceRecord, Protected, Treatment

__all__ = ["changed_regions", "face_region"]


def changed_regions(original: NDArray[np.uint8], protected: Protected) -> list[tuple[int, int, int, int]]:
    """x0, y0, x1, y1 (exclusive) of every face, and of what else differs: no changed pixel is left out."""
    height, width = original.shape[:2]
    if protected.incidents:
        return [(0, 0, width, height)]
    if len(protected.faces) > MAX_FACES:
        return [(0, 0, width, height)]  # more regions than a reader takes
    regions = [face_region(face, (height, width)) for face in protected.faces]
    regions = [(x0, y0, x1, y1) for x0, y0, x1, y1 in regions if x0 < x1 and y0 < y1]
    changed = cv2.absdiff(original, protected.frame)
    for x0, y0, x1, y1 in regions:
        changed[y0:y1, x0:x1] = 0
    x, y, w, h = cv2.boundingRect(changed.reshape(height, width * 3))
    if w and h:
        regions.append((x // 3, y, (x + w + 2) // 3, y + h))
    return regions


def face_region(face: FaceRecord, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive) in px of what protecting a face may change in a frame of size (height, width)."""
    if face.treatment is Treatment.SURROGATE:
        return frame_region(face.matrix, size)
    height, width = size
    around = 0.25 * float((face.box[2:] - face.box[:2]).max()) + 3  # what guard.cover_face covers around a box
    x0, y0 = np.clip(np.floor(face.box[:2] - around), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(face.box[2:] + around), 0, (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
