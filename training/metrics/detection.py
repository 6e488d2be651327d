"""Does a detector still find exactly one face, and where: a surrogate must be a face, in the same place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE
from mfm_edge.detect import Detector

__all__ = ["found_faces", "landmark_shift", "nearest"]

INTEROCULAR = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))


def found_faces(detector: Detector, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """(N, 128, 128, 3) uint8 RGB -> for each crop the landmarks (K, 5, 2) of its K faces, nearest the centre first."""
    centre = TEMPLATE.mean(0)
    found = []
    for crop in crops:
        faces = [face.landmarks for face in detector.detect(np.ascontiguousarray(crop[..., ::-1]))]
        faces.sort(key=lambda landmarks: float(np.linalg.norm(landmarks.mean(0) - centre)))
        found.append(np.array(faces, np.float32).reshape(-1, 5, 2))
    return found


def nearest(found: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32] | None]:
    """Of each crop's faces (K, 5, 2) the first one's landmarks (5, 2); None where there is none."""
    return [faces[0] if len(faces) else None for faces in found]


def landmark_shift(a: list[NDArray[np.float32] | None], b: list[NDArray[np.float32] | None]) -> NDArray[np.float64]:
    """Mean distance of the five landmarks over the inter-ocular distance, for the pairs in which both were found."""
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    return np.array([np.linalg.norm(p - q, axis=1).mean() / INTEROCULAR for p, q in pairs])
