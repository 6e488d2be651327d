"""The mark that a key leaves in a surrogate, as it is seen in pixels alone: no network needs to run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ModelError
from mfm_edge.style import StyleKey

__all__ = ["CELLS", "MarkReader", "luminance"]

CELLS = 48
"""A side of the window, in cells of 2 px."""

_MARGIN = 0.1  # of the tone curve, see training/tone.py
_LUMINANCE = np.array([0.114, 0.587, 0.299], np.float32)  # BGR


class MarkReader:
    """Knows where a key's mark lies in the fine detail of a surrogate's luminance.

    content: the file mark.npz of a model folder, which export.mark writes: wavelet (48,48), the transform of cells;
    places (K,), the coefficients that hold fine detail; limits (K,), how large they are in faces: what is far larger,
    as on edges, counts little more; axes (K,K), from coefficients to components, each weighted by how much of it is
    mark; first, where their signs begin in a key's mark.
    Raises ModelError for another content.
    """

    def __init__(self, content: bytes) -> None:
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                parts: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
            count = len(parts["places"])
            shapes: dict[str, tuple[int, ...]] = {"wavelet": (CELLS, CELLS), "first": ()}
            shapes |= {"places": (count,), "limits": (count,), "axes": (count, count)}
            if {name: part.shape for name, part in parts.items()} != shapes or not count:
                raise ValueError("shapes")
            if int(parts["places"].min()) < 0 or int(parts["places"].max()) >= CELLS**2:
                raise ValueError("places")
        except Exception as error:  # numpy's readers raise many kinds
            raise ModelError(f"model: mark.npz is not what python -m export.mark writes ({error})") from None
        self._wavelet, self._limits, self._axes = (
            np.ascontiguousarray(parts[name], np.float32) for name in ("wavelet", "limits", "axes")
        )
        self._places, self._first = parts["places"].astype(np.intp), int(parts["first"])

    def signs(self, keys: Sequence[StyleKey]) -> NDArray[np.float32]:
        """(S, K): by which each key's mark is known."""
        end = self._first + len(self._places)
        return np.stack([key.mark[self._first : end] for key in keys])

    def evidence(self, cells: NDArray[np.float32], signs: NDArray[np.float32]) -> NDArray[np.float32]:
        """How sure it is that a window bears a mark: (N, S), in standard deviations of what chance gives.

        cells: (N, 48, 48), mean `luminance` of a window's cells of 2x2 px. signs: (S, K).
        """
        found = (self._wavelet @ cells @ self._wavelet.T).reshape(len(cells), -1)[:, self._places]
        components = (found / np.sqrt(1 + (found / self._limits) ** 2)) @ self._axes
        size = np.linalg.norm(components, axis=1, keepdims=True)
        evidence: NDArray[np.float32] = (components @ signs.T) / np.maximum(size, np.float32(1e-12))
        return evidence

    def pictures(self, signs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(S, 48, 48): cells of unit size whose product with a window's is, but for the limits, the evidence."""
        flat = np.zeros((len(signs), CELLS**2), np.float32)
        flat[:, self._places] = signs @ self._axes.T
        pictures = self._wavelet.T @ flat.reshape(-1, CELLS, CELLS) @ self._wavelet
        return pictures / np.linalg.norm(pictures, axis=(1, 2), keepdims=True)


def luminance(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 BGR -> (H, W) float32, about -1..1: luminance on the network's tone curve."""
    return np.asarray(cv2.transform(_CURVE[crop], _LUMINANCE[None]), np.float32)


def _curve() -> NDArray[np.float32]:
    level = (np.arange(256) / 255 + _MARGIN) / (1 + 2 * _MARGIN)
    return (np.log(level / (1 - level)) / log((1 + _MARGIN) / _MARGIN)).astype(np.float32)


_CURVE = _curve()
