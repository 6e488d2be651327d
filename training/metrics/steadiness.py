"""Does a track stay one person, and does it flicker?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mfm_edge.style import face_mask

__all__ = ["flicker", "same_throughout"]


def same_throughout(vectors: Tensor, threshold: float) -> float:
    """(N, D) unit vectors of one track, N >= 2 -> share of all pairs of frames that match."""
    pairs = np.triu_indices(len(vectors), 1)
    return float(((vectors @ vectors.T).numpy()[pairs] >= threshold).mean())


def flicker(y: NDArray[np.uint8], x: NDArray[np.uint8]) -> float:
    """(N, 128, 128, 3) uint8 each, consecutive crops of one track -> mean absolute difference from frame to frame
    inside the face of y over that of x; 1 where surrogates move as much as the faces did."""
    return _movement(y) / max(_movement(x), 1e-6)


def _movement(crops: NDArray[np.uint8]) -> float:
    change = np.abs(np.diff(crops.astype(np.float32), axis=0)).mean(-1)
    mask = face_mask(128)
    return float((change * mask).sum() / (mask.sum() * len(change)))
