"""Faces on their way into the network and out of it: uint8 pixels to planes of floats, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.native import NATIVE

__all__ = ["to_pixels", "to_pixels_reference", "to_planes", "to_planes_reference"]


def to_planes(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32 RGB, -1..1.

    pixels: C-contiguous. Raises ArgumentError for any other dtype, shape or layout.
    """
    _check("pixels", pixels, np.uint8, "(N, H, W, 3)", channels=-1)
    if NATIVE is None:
        return to_planes_reference(pixels)
    batch, height, width, _ = pixels.shape
    planes = np.empty((batch, 3, height, width), np.float32)
    NATIVE.to_planes(pixels, planes)
    return planes


def to_pixels(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 3, H, W) float32 RGB, -1..1 -> (N, H, W, 3) uint8 BGR, rounded half to even.

    Beyond -1..1 it is the nearest level; NaN is 0, so that a network gone wrong shows black and nobody's face.
    planes: C-contiguous. Raises ArgumentError for any other dtype, shape or layout.
    """
    _check("planes", planes, np.float32, "(N, 3, H, W)", channels=1)
    if NATIVE is None:
        return to_pixels_reference(planes)
    batch, _, height, width = planes.shape
    pixels = np.empty((batch, height, width, 3), np.uint8)
    NATIVE.to_pixels(planes, pixels)
    return pixels


def to_planes_reference(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same in numpy: the native kernel's oracle, and its stand-in where it was not built."""
    planes = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2), np.float32)
    planes *= np.float32(1 / 127.5)
    planes -= 1
    return planes


def to_pixels_reference(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The same in numpy: the native kernel's oracle, and its stand-in where it was not built."""
    levels = planes + np.float32(1)
    levels *= np.float32(127.5)
    np.fmin(np.fmax(levels, 0, out=levels), 255, out=levels)  # of NaN and 0 fmax takes 0
    np.rint(levels, out=levels)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1])


def _check(name: str, array: Any, dtype: type[np.generic], shape: str, *, channels: int) -> None:
    takes = f"a C-contiguous {np.dtype(dtype)} array of shape {shape}"
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"{name}: got {type(array).__name__}, takes {takes}")
    if array.dtype != dtype or array.ndim != 4 or array.shape[channels] != 3:
        raise ArgumentError(f"{name}: got {array.dtype} of shape {array.shape}, takes {takes}")
    if not array.flags.c_contiguous:
        raise ArgumentError(f"{name}: got strides {array.strides}, takes {takes}")
