"""The geometry of a crop: five landmarks -> similarity transform -> 128x128 crop, and the way back.

Matrices are (2, 3) float64 and map frame px to crop px, with pixel centres at whole numbers.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.types import CROP_SIZE, AlignedFace, Face, check_frame

__all__ = [
    "TEMPLATE",
    "after",
    "align",
    "check_matrix",
    "estimate_transform",
    "extract",
    "frame_region",
    "frame_scale",
    "invert",
    "lanczos_lowpass",
    "locate",
]

TEMPLATE: NDArray[np.float64] = np.array([(49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)])
"""(5, 2) crop px: where a crop has its eyes, nose tip and mouth corners (the geometry of aligned CelebA at 128 px)."""
TEMPLATE.setflags(write=False)

_MIN_EXTENT = 1.0
"""Landmarks that lie closer together than this, root mean square in px, do not define a face."""
_MARGIN = 3
"""Crop px sampled beyond the crop's edge, so that decimation there sees the frame and not a border."""


def estimate_transform(landmarks: ArrayLike, *, template: NDArray[np.float64] = TEMPLATE) -> NDArray[np.float64]:
    """The similarity transform (rotation, scale, shift) that brings landmarks onto a template with least squares.

    landmarks: (5, 2) finite, frame px, in the order of Face.landmarks. template: (5, 2), crop px.
    Returns (2, 3) float64, frame px -> crop px.

    In closed form: with both point sets as complex numbers around their means, the rotation and scale are the single
    complex number sum(conj(p) q) / sum(|p|^2). A reflection cannot come out.

    Raises ArgumentError when the shape is wrong, a value is not finite, or the points do not span a face.
    """
    takes = "a (5, 2) array of finite frame px: both eyes, nose tip, both mouth corners"
    try:
        points = np.asarray(landmarks, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"landmarks: got {type(landmarks).__name__}, takes {takes}") from None
    if points.shape != (5, 2):
        raise ArgumentError(f"landmarks: got shape {points.shape}, takes {takes}")
    if not np.isfinite(points).all():
        raise ArgumentError(f"landmarks: got a value that is not finite, takes {takes}")

    source_mean, target_mean = points.mean(0), template.mean(0)
    source, target = points - source_mean, template - target_mean
    p, q = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    spread = float((abs(p) ** 2).sum())
    if spread < 5 * _MIN_EXTENT**2:
        raise ArgumentError(f"landmarks: got points that coincide (spread {(spread / 5) ** 0.5:.3g} px), takes {takes}")
    turn = complex((p.conj() * q).sum() / spread)
    if abs(turn) * spread**0.5 < 0.05 * float((abs(q) ** 2).sum()) ** 0.5:
        raise ArgumentError(f"landmarks: got points in no face's arrangement, takes {takes}")
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def align(frame: NDArray[np.uint8], face: Face) -> AlignedFace:
    """Cuts a face out of a frame in the template's geometry.

    frame: (H, W, 3) uint8 BGR. Raises FrameError for another frame, ArgumentError for landmarks that span no face.
    """
    matrix, places = locate(face)
    return AlignedFace(extract(frame, matrix), matrix, places)


def locate(face: Face) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Matrix and landmarks of AlignedFace without its crop. Raises ArgumentError for landmarks that span no face."""
    matrix = estimate_transform(face.landmarks)
    places = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return matrix, np.round(places, 2).astype(np.float32)


def extract(frame: NDArray[np.uint8], matrix: ArrayLike) -> NDArray[np.uint8]:
    """The (128, 128, 3) uint8 BGR crop of a frame under a matrix (frame px -> crop px).

    Beyond the frame its border pixels go on. Faces at or below the crop's size are interpolated (Lanczos-4). Larger
    ones are sampled more densely than the crop and decimated by a Lanczos-3 filter, so that fine detail does not alias;
    very large ones are halved (or more) by area averaging first.

    This is the counterpart of `mfm_edge.paste.paste`: extracting what was pasted gives the crop back with about 30 dB
    PSNR at half the crop's size, 36 dB at three quarters and 40 dB or more from the crop's size up (the test measures
    it; bilinear both ways gave 30, 34 and 36 dB, and aliased).

    Raises FrameError for a frame of another kind, ArgumentError for a matrix that is not an invertible (2, 3).
    """
    frame = check_frame(frame)
    matrix = check_matrix(matrix)
    view, matrix = _region_of_interest(frame, matrix)
    scale = frame_scale(matrix)
    if scale <= 1.1:
        flags = cv2.INTER_LANCZOS4
        return _warp(view, matrix, CROP_SIZE, flags)
    # With density >= (scale + 1) / 2 only what is beyond the frame's own Nyquist frequency can alias into the crop.
    density = ceil((scale + 1) / 2)
    shift = density * _MARGIN
    side = density * (CROP_SIZE - 1) + 1 + 2 * shift
    dense = matrix * density + np.array([[0, 0, shift], [0, 0, shift]])
    # Bilinear sampling dims only detail near the frame's own limit, which for larger faces is beyond the crop's: there
    # it is as good as bicubic at a quarter of the price.
    samples = _warp(view, dense, side, cv2.INTER_CUBIC if scale <= 1.6 else cv2.INTER_LINEAR)
    # Decimation: one direction after the other, each filter's output thinned out before the next sees it.
    keep = slice(shift, side - shift, density)
    taps, unit = lanczos_lowpass(float(density)), np.ones(1, np.float32)
    rows = cv2.sepFilter2D(samples, cv2.CV_32F, taps, unit)[:, keep]
    crop = cv2.sepFilter2D(np.ascontiguousarray(rows), cv2.CV_32F, unit, taps)[keep]
    return np.clip(np.rint(crop), 0, 255).astype(np.uint8)


def invert(matrix: ArrayLike) -> NDArray[np.float64]:
    """The inverse of a matrix: (2, 3) float64, crop px -> frame px. Raises ArgumentError when there is none."""
    matrix = check_matrix(matrix)
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def after(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix that does what one matrix does after another: both, and the result, (2, 3) float64."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def frame_scale(matrix: NDArray[np.float64]) -> float:
    """Frame px per crop px of a checked matrix: 2.0 means that the face spans 256 frame px."""
    return float(abs(np.linalg.det(matrix[:, :2])) ** -0.5)


def frame_region(matrix: ArrayLike, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a frame that a crop covers: x0, y0, x1, y1 in whole frame px (x1, y1 exclusive), within the frame.

    frame_size: height, width in px. A crop that lies outside gives an empty region (x0 >= x1 or y0 >= y1).
    """
    height, width = frame_size
    inverse = invert(matrix)
    edge = CROP_SIZE - 1
    corners = np.array([(0, 0), (edge, 0), (0, edge), (edge, edge)], np.float64) @ inverse[:, :2].T + inverse[:, 2]
    x0, y0 = np.clip(np.floor(corners.min(0)), 0, (width, height))
    x1, y1 = np.clip(np.floor(corners.max(0)) + 1, 0, (width, height))
    return int(x0), int(y0), int(x1), int(y1)


def check_matrix(matrix: ArrayLike, *, name: str = "matrix") -> NDArray[np.float64]:
    """`matrix` as (2, 3) float64. Raises ArgumentError for another shape, a value not finite, or no inverse."""
    takes = "an invertible (2, 3) matrix, frame px -> crop px"
    try:
        array = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: got {type(matrix).__name__}, takes {takes}") from None
    if array.shape != (2, 3):
        raise ArgumentError(f"{name}: got shape {array.shape}, takes {takes}")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{name}: got a value that is not finite, takes {takes}")
    determinant = abs(float(np.linalg.det(array[:, :2])))
    if not 1e-6 < determinant < 1e6:
        raise ArgumentError(f"{name}: got determinant {determinant:.3g}, takes {takes} with one between 1e-6 and 1e6")
    return array


def lanczos_lowpass(stretch: float) -> NDArray[np.float32]:
    """The taps of a Lanczos-3 low-pass, float32 and of odd length, with the sum 1.

    stretch: the width as a multiple of the interpolating filter's, >= 1; the result fits a grid so much coarser.
    """
    lobes = 3
    reach = max(0, ceil(lobes * stretch) - 1)
    offsets = np.arange(-reach, reach + 1) / stretch
    taps = np.sinc(offsets) * np.sinc(offsets / lobes)
    lowpass: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return lowpass


def _warp(view: NDArray[Any], matrix: NDArray[np.float64], side: int, flags: int) -> NDArray[Any]:
    return cv2.warpAffine(view, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _region_of_interest(
    frame: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of the frame under the crop with room for the filters, reduced for very large faces; and its matrix.

    Every cost after this depends on the face's size alone, and OpenCV's limit on the sides of a warped image is moot.
    """
    height, width = frame.shape[:2]
    inverse = invert(matrix)
    reach = CROP_SIZE - 1 + _MARGIN
    corners = np.array([(-_MARGIN, -_MARGIN), (reach, -_MARGIN), (-_MARGIN, reach), (reach, reach)], np.float64)
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    # Clipped to leave one pixel at least: a crop beside the frame sees its border go on.
    x0, y0 = np.clip(np.floor(corners.min(0)) - _MARGIN, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0)) + _MARGIN + 1, (x0 + 1, y0 + 1), (width, height)).astype(int)
    view = frame[y0:y1, x0:x1]
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (x0, y0)

    factor = max(1, floor(frame_scale(matrix) / 2.5))
    if factor == 1:
        return view, matrix
    # Filled up to whole blocks of factor x factor px, each of which becomes one.
    bottom, right = -view.shape[0] % factor, -view.shape[1] % factor
    view = cv2.copyMakeBorder(view, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (view.shape[1] // factor, view.shape[0] // factor)
    view = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
    matrix[:, 2] += matrix[:, :2] @ np.full(2, (factor - 1) / 2)
    matrix[:, :2] *= factor
    return view, matrix
