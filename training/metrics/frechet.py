"""How far two sets of pictures are apart as distributions of features (Frechet distance of two Gaussians)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["frechet_distance"]


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """(N, D) and (M, D) features -> squared distance of means plus tr(A + B - 2 (A B)^(1/2)) of the covariances A, B.

    The trace of the root is the nuclear norm of X_a X_b^T over centred features: exact for fewer pictures than
    features, where A and B are singular, and without a matrix root. Few pictures overestimate the distance, so only
    distances between sets of equal sizes compare.
    """
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    spread = np.square(x).sum() + np.square(y).sum() - 2 * cross
    return float(np.square(mean_a - mean_b).sum() + max(spread, 0.0))
