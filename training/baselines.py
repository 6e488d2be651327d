"""What people use instead: pixelation, blur, a black box, k-Same. All act on the window that the network may change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from mfm_edge.types import WINDOW

__all__ = ["black_box", "blur", "k_same", "pixelation"]

Crops = NDArray[np.uint8]
_TOP, _LEFT, _SIDE = WINDOW
_WINDOW = (slice(None), slice(_TOP, _TOP + _SIDE), slice(_LEFT, _LEFT + _SIDE))


def pixelation(crops: Crops, cells: int = 8) -> Crops:
    """(N, 128, 128, 3) uint8 -> the same shape, the window as cells x cells squares of one colour each."""

    def coarse(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
        small = cv2.resize(window, (cells, cells), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)

    return _changed(crops, np.stack([coarse(window) for window in crops[_WINDOW]]))


def blur(crops: Crops, sigma: float = 8.0) -> Crops:
    """(N, 128, 128, 3) uint8 -> the same shape, the window under a Gaussian blur of sigma px."""
    return _changed(crops, np.stack([cv2.GaussianBlur(crop, (0, 0), sigma) for crop in crops])[_WINDOW])


def black_box(crops: Crops) -> Crops:
    """(N, 128, 128, 3) uint8 -> the same shape, the window black."""
    return _changed(crops, np.zeros_like(crops[_WINDOW]))


def k_same(crops: Crops, k: int = 10) -> Crops:
    """k-Same in eigenface space (Newton, Sweeney and Malin, 2005): every window becomes the mean of k like ones, and
    each mean stands for at least k of them, so that nobody can be told from k - 1 others.

    crops: (N, 128, 128, 3) uint8, one a person, N >= k.
    """
    if len(crops) < k:
        raise ValueError(f"crops: got {len(crops)}, takes at least k = {k}")
    pixels = crops[_WINDOW].reshape(len(crops), -1).astype(np.float32)
    eigenfaces = PCA(min(64, len(crops) - 1), svd_solver="randomized", random_state=0)
    coordinates = eigenfaces.fit_transform(pixels)
    drawn, left = np.empty_like(pixels), np.arange(len(crops))
    while len(left):
        apart = np.linalg.norm(coordinates[left] - coordinates[left[0]], axis=1)
        group = left if len(left) < 2 * k else left[np.argsort(apart, kind="stable")[:k]]
        # Drawn once a group: two drawings of one mean may differ in rounding, and would tell people apart.
        drawn[group] = eigenfaces.inverse_transform(coordinates[group].mean(0, keepdims=True))
        left = np.setdiff1d(left, group)
    windows = drawn.clip(0, 255).round().astype(np.uint8)
    return _changed(crops, windows.reshape(len(crops), _SIDE, _SIDE, 3))


def _changed(crops: Crops, windows: Crops) -> Crops:
    out = crops.copy()
    out[_WINDOW] = windows
    return out
