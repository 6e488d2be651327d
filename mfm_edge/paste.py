"""Puts a crop back into its frame: inverse warp, feathered mask and blend, in the face's own region only."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfm_edge.align import check_matrix, frame_region, frame_scale, lanczos_lowpass
from mfm_edge.errors import ArgumentError, FrameError
from mfm_edge.native import NATIVE
from mfm_edge.types import CROP_SIZE, WINDOW, check_frame

__all__ = ["FEATHER", "blend_layer_reference", "feather_mask", "paste"]

FEATHER = 2
"""Width of the mask's ramp around the network's window, crop px."""

_OVERSAMPLING = 2
"""The crop is brought to this many times its size by a bicubic filter, then sampled bilinearly: nearly as sharp as a
bicubic warp at the price of a bilinear one. (Lanczos-4 gained 1.5 dB in the round trip and cost 1 ms a face.)"""
_AROUND = 4
"""px of the crop beyond its weight that samples of both filters reach to."""


class _Weight(NamedTuple):
    """The square of the crop outside which its weight is 0, with what filters reach to around it, and the weight there,
    (S, S) float32 with S = _OVERSAMPLING * side. side: 0 where nothing of the crop counts."""

    top: int
    left: int
    side: int
    values: NDArray[np.float32]


@lru_cache(maxsize=4)
def feather_mask(feather: int = FEATHER) -> NDArray[np.float32]:
    """(128, 128) float32, read-only: 1 in the window that the network computes, 0 from `feather` px outside it, smooth
    (C1) in between. The ramp lies outside because there the crop equals the frame: blending costs no face.

    feather: width of the ramp in crop px, 1 or 2 (the window ends 4 px above the crop's edge). Raises ArgumentError for
    another.
    """
    top, left, side = WINDOW
    # One px to spare: the mask is interpolated, and must be nothing on the crop's edge itself.
    room = min(top, left, CROP_SIZE - top - side, CROP_SIZE - left - side) - 1
    if not isinstance(feather, int) or not 1 <= feather < room:
        raise ArgumentError(f"feather: got {feather!r}, takes a whole number of px from 1 to {room - 1}")
    axis = np.arange(CROP_SIZE)
    dy = np.maximum(np.maximum(top - axis, axis - (top + side - 1)), 0)
    dx = np.maximum(np.maximum(left - axis, axis - (left + side - 1)), 0)
    ramp = np.clip(1 - np.hypot(*np.meshgrid(dx, dy)) / (feather + 1), 0, 1)
    mask = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    mask.setflags(write=False)
    return mask


def paste(
    frame: NDArray[np.uint8],
    crop: NDArray[np.uint8] | NDArray[np.float32],
    matrix: ArrayLike,
    mask: NDArray[np.float32] | None = None,
) -> None:
    """Blends a crop into a frame, in place.

    frame: (H, W, 3) uint8 BGR, writable and C-contiguous.
    crop: (128, 128, 3) BGR, uint8 or float32 in 0..255.
    matrix: (2, 3), frame px -> crop px, as `align` gave it.
    mask: (128, 128) float32 in 0..1, the crop's weight; feather_mask() when None. It should be 0 on the edge, or the
        crop's outline shows.

    Every pixel outside the crop, and every one whose mask is 0, stays bit-identical. A crop outside the frame changes
    nothing. Faces smaller than the crop are low-pass filtered first.

    Raises FrameError or ArgumentError that names the argument.
    """
    frame = check_frame(frame)
    if not frame.flags.writeable:
        raise FrameError("frame: got a read-only array, takes a writable one (it is changed in place)")
    if not frame.flags.c_contiguous:
        raise FrameError(f"frame: got strides {frame.strides}, takes a C-contiguous array (np.ascontiguousarray)")
    matrix = check_matrix(matrix)
    weight = _feather_weight() if mask is None else _weight(_check_mask(mask))
    crop = _check_crop(crop)
    if not weight.side:
        return
    layer = _layer(crop, weight, frame_scale(matrix))
    shift = (_OVERSAMPLING - 1) / 2
    to_layer = matrix * _OVERSAMPLING
    to_layer[:, 2] += shift - _OVERSAMPLING * np.array([weight.left, weight.top])
    if NATIVE is None:
        blend_layer_reference(frame, layer, to_layer)
    else:
        NATIVE.blend_layer(frame, layer, to_layer)


def blend_layer_reference(frame: NDArray[np.uint8], layer: NDArray[np.float32], matrix: NDArray[np.float64]) -> None:
    """frame += weight * (layer - frame), rounded, at every pixel that falls onto the layer; in place.

    frame: (H, W, 3) uint8. layer: (S, S, 4) float32, BGR in 0..255 and the weight in 0..1, sampled bilinearly.
    matrix: (2, 3) float64, frame px -> layer px. The native kernel's oracle, and its stand-in where it was not built.
    """
    height, width = frame.shape[:2]
    side = layer.shape[0]
    scale = side / CROP_SIZE
    shift = (scale - 1) / 2
    to_crop = (matrix - np.array([[0, 0, shift], [0, 0, shift]])) / scale
    x0, y0, x1, y1 = frame_region(to_crop, (height, width))
    if x0 >= x1 or y0 >= y1:
        return
    # One px more than the crop: the layer's outermost half pixels reach a little beyond it.
    x0, y0, x1, y1 = max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, width), min(y1 + 1, height)
    xs = np.arange(x0, x1, dtype=np.float64)
    for y in range(y0, y1):  # by rows: a large face needs no large temporaries
        u = matrix[0, 0] * xs + (matrix[0, 1] * y + matrix[0, 2])
        v = matrix[1, 0] * xs + (matrix[1, 1] * y + matrix[1, 2])
        inside = np.flatnonzero((u >= 0) & (u <= side - 1) & (v >= 0) & (v <= side - 1))
        if inside.size == 0:
            continue
        u, v = u[inside], v[inside]
        iu, iv = np.minimum(u.astype(np.intp), side - 2), np.minimum(v.astype(np.intp), side - 2)
        fu, fv = (u - iu).astype(np.float32)[:, None], (v - iv).astype(np.float32)[:, None]
        left = layer[iv, iu] + fv * (layer[iv + 1, iu] - layer[iv, iu])
        right = layer[iv, iu + 1] + fv * (layer[iv + 1, iu + 1] - layer[iv, iu + 1])
        sample = left + fu * (right - left)
        row = frame[y, x0 + inside]
        blended = sample[:, :3] + (1 - sample[:, 3:]) * (row - sample[:, :3])
        frame[y, x0 + inside] = np.clip(blended + np.float32(0.5), 0, 255).astype(np.uint8)


def _weight(mask: NDArray[np.float32]) -> _Weight:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if rows.size == 0:
        return _Weight(0, 0, 0, np.zeros((0, 0), np.float32))
    spread = max(rows[-1] - rows[0], columns[-1] - columns[0])
    side = min(int(spread) + 1 + 2 * _AROUND, CROP_SIZE)
    top, left = (min(max(int(used[0]) - _AROUND, 0), CROP_SIZE - side) for used in (rows, columns))
    part = mask[top : top + side, left : left + side]
    return _Weight(top, left, side, cv2.resize(part, None, fx=_OVERSAMPLING, fy=_OVERSAMPLING))


@lru_cache(maxsize=1)
def _feather_weight() -> _Weight:
    return _weight(feather_mask())


def _layer(crop: NDArray[np.float32], weight: _Weight, scale: float) -> NDArray[np.float32]:
    """(S, S, 4) float32: what counts of the crop, low-passed for a face of `scale` frame px per crop px, and its
    weight."""
    # Half an octave of aliasing is worth the sharpness: 0.8 gave the best round trip at half and three quarter size.
    # Below a tenth of the crop's size the filter would outgrow the crop.
    stretch = 0.8 / max(scale, 0.1)
    if stretch > 1:
        taps = lanczos_lowpass(stretch)
        crop = cv2.sepFilter2D(crop, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REPLICATE)
    part = crop[weight.top : weight.top + weight.side, weight.left : weight.left + weight.side]
    # Four channels at once: putting them together afterwards costs ten times the filter.
    size = (weight.side * _OVERSAMPLING, weight.side * _OVERSAMPLING)
    layer = cv2.resize(cv2.cvtColor(part, cv2.COLOR_BGR2BGRA), size, interpolation=cv2.INTER_CUBIC)
    layer[..., 3] = weight.values
    return layer


def _check_crop(crop: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    takes = f"a ({CROP_SIZE}, {CROP_SIZE}, 3) BGR array, uint8 or float32 in 0..255"
    if not isinstance(crop, np.ndarray):
        raise ArgumentError(f"crop: got {type(crop).__name__}, takes {takes}")
    if crop.shape != (CROP_SIZE, CROP_SIZE, 3) or crop.dtype not in (np.uint8, np.float32):
        raise ArgumentError(f"crop: got {crop.dtype} of shape {crop.shape}, takes {takes}")
    if crop.dtype == np.float32 and not np.isfinite(crop).all():
        raise ArgumentError(f"crop: got a value that is not finite, takes {takes}")
    return np.ascontiguousarray(crop, dtype=np.float32)


def _check_mask(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    takes = f"a ({CROP_SIZE}, {CROP_SIZE}) float32 array in 0..1, or None"
    if not isinstance(mask, np.ndarray):
        raise ArgumentError(f"mask: got {type(mask).__name__}, takes {takes}")
    if mask.shape != (CROP_SIZE, CROP_SIZE) or mask.dtype != np.float32:
        raise ArgumentError(f"mask: got {mask.dtype} of shape {mask.shape}, takes {takes}")
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ArgumentError(f"mask: got values from {mask.min():.3g} to {mask.max():.3g}, takes {takes}")
    return mask
