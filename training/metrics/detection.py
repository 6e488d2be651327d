"""Does a detector still find exactly one face, and where: a surrogate must be a face, in the same place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE
from mfm_edge.detect import Detector

__all__ = ["found_faces", "landmark_shift"]

INTEROCULAR = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))


def found_faces(detector: Detector, crops: NDArray[np.uint8]) -> list[NDArray[np.float32] | None]:
    """(N, 128, 128, 3) uint8 RGB -> landmarks (5, 2) of the face nearest the crop's centre, None where none is."""
    found: list[NDArray[np.float32] | None] = []
    for crop in crops:
        faces = detector.detect(np.ascontiguousarray(crop[..., ::-1]))
        centre = TEMPLATE.mean(0)
        best = min(faces, key=lambda face: float(np.linalg.norm(face.landmarks.mean(0) - centre)), default=None)
        found.append(None if best is None else best.landmarks)
    return found


def landmark_shift(a: list[NDArray[np.float32] | None], b: list[NDArray[np.float32] | None]) -> NDArray[np.float64]:
    """Mean distance of the five landmarks over the inter-ocular distance, for the pairs in which both were found."""
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    return np.array([np.linalg.norm(p - q, axis=1).mean() / INTEROCULAR for p, q in pairs])
