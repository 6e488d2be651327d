"""Real faces that a surrogate may be pulled towards: another person in the same pose, light and expression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import estimate_transform
from mfm_edge.errors import ArgumentError
from mfm_edge.factors import ATTRIBUTES
from training.data import FaceSet

__all__ = ["TargetFinder", "moved"]

# How strongly a disagreement counts, in units of the other features' spread.
_ATTRIBUTE_WEIGHTS = {
    "male": 3.0,
    "young": 1.0,
    "smiling": 2.0,
    "mouth_open": 2.0,
    "eyeglasses": 3.0,
    "beard": 1.0,
    "pale_skin": 1.0,
}
_ASKED_WEIGHT = 10.0  # of an attribute that a factor asks for


class TargetFinder:
    """Nearest neighbours in landmarks, attributes and coarse colour among a fresh random subset each time, so the
    same face meets many different targets; of those, people who have what is asked for."""

    def __init__(self, faces: FaceSet, *, candidates: int = 1500) -> None:
        landmarks = faces.landmarks - faces.landmarks.mean(0)
        landmarks = landmarks.reshape(len(faces), -1)  # 1 px off counts as much as one unit of colour
        colour = faces.crops[:, 40:120:16, 32:96:16].astype(np.float32).reshape(len(faces), -1)
        colour = (colour - colour.mean(0)) / 60.0
        columns = [
            faces.attributes[:, ATTRIBUTES.index(name), None] * weight for name, weight in _ATTRIBUTE_WEIGHTS.items()
        ]
        self._features = np.concatenate([landmarks, colour, *columns], 1).astype(np.float32)
        self._identities = faces.identities
        self._labels = 2 * faces.attributes.astype(np.float32) - 1
        self._candidates = candidates

    def find(self, index: NDArray[np.intp], asked: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.intp]:
        """(N,) indices of faces, and attributes asked for (N,A) in {-1,0,+1} -> (N,) indices of other people that match
        each best."""
        pool = rng.integers(0, len(self._features), self._candidates)
        gap = ((self._features[index][:, None] - self._features[pool][None]) ** 2).sum(2)
        lacking = (np.abs(asked).sum(1, keepdims=True) - asked @ self._labels[pool].T) / 2
        gap += _ASKED_WEIGHT**2 * lacking
        gap[self._identities[index][:, None] == self._identities[pool][None]] = np.inf
        return pool[gap.argmin(1)]


def moved(crops: NDArray[np.uint8], landmarks: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Crops (N, 128, 128, 3) warped so that their landmarks (N, 5, 2) px lie at `places`, affinely with least squares;
    where that would distort a face, by a similarity transform; where landmarks span no face, not at all."""
    out = np.empty_like(crops)
    for target, crop, own, wanted in zip(out, crops, landmarks, places, strict=True):
        matrix = np.linalg.lstsq(np.column_stack([own, np.ones(5)]), wanted, rcond=None)[0].T
        stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
        if stretch[0] > 1.35 or stretch[1] < 0.74 or np.linalg.det(matrix[:, :2]) < 0:
            try:
                matrix = estimate_transform(own, template=wanted)
            except ArgumentError:
                matrix = np.eye(3)[:2]
        cv2.warpAffine(
            crop, matrix, crop.shape[1::-1], dst=target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
    return out
