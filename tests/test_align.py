"""mfm_edge.align: the transform, the crop and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm_edge.align import TEMPLATE, align, check_matrix, estimate_transform, extract, frame_region, frame_scale, invert
from mfm_edge.errors import ArgumentError, FrameError
from mfm_edge.types import Face


def similarity(scale: float, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    """(2, 3) frame px -> crop px of a face of `scale` frame px per crop px around `centre`."""
    angle = np.radians(degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    return np.column_stack([linear, 63.5 - linear @ centre])


def smooth_frame(height: int, width: int, period: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(2 * np.pi * (x * a + y * b) / period) for a, b in ((1, 0.3), (-0.4, 0.9), (0.6, 0.6))]
    return (127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    scale=st.floats(0.2, 12),
    degrees=st.floats(-180, 180),
    x=st.floats(-500, 4000),
    y=st.floats(-500, 4000),
)
def test_transform_recovers_any_similarity_exactly(scale: float, degrees: float, x: float, y: float) -> None:
    matrix = similarity(scale, degrees, (x, y))
    inverse = invert(matrix)
    landmarks = TEMPLATE @ inverse[:, :2].T + inverse[:, 2]
    np.testing.assert_allclose(estimate_transform(landmarks), matrix, atol=1e-6)
    back = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=1e-6)
    assert frame_scale(matrix) == pytest.approx(scale)


def test_transform_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(3)
    landmarks = TEMPLATE * 1.7 + 40 + rng.normal(0, 3, (5, 2))
    # The same problem as a linear system in (a, b, tx, ty).
    rows, values = [], []
    for (x, y), (u, v) in zip(landmarks, TEMPLATE, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    (a, b, tx, ty), *_ = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)
    np.testing.assert_allclose(estimate_transform(landmarks), [[a, -b, tx], [b, a, ty]], atol=1e-9)


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2)), "eyes", TEMPLATE[:, ::-1] * [1, -1] * 0],
)
def test_landmarks_that_span_no_face_are_refused(landmarks: object) -> None:
    with pytest.raises(ArgumentError, match="landmarks"):
        estimate_transform(landmarks)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 2.0, 3.3, 5.0, 9.0])
def test_a_crop_of_a_smooth_frame_is_that_frame_sampled(scale: float) -> None:
    matrix = similarity(scale, 17, (300.3, 280.7))
    side = int(300 + 100 * scale)
    period = 40 * scale
    crop = extract(smooth_frame(side, side, period), matrix)
    inverse = invert(matrix)
    y, x = np.mgrid[:128, :128].astype(np.float64)
    fx = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    fy = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    waves = [np.sin(2 * np.pi * (fx * a + fy * b) / period) for a, b in ((1, 0.3), (-0.4, 0.9), (0.6, 0.6))]
    expected = 127.5 + 90 * np.stack(waves, -1)
    seen = (fx > 0) & (fx < side - 1) & (fy > 0) & (fy < side - 1)
    assert abs(crop - expected)[seen].max() < 3.0  # half a level of truncation, the rest is a misplaced sample


@pytest.mark.parametrize("scale", [2.0, 4.0, 8.0])
def test_detail_finer_than_the_crop_does_not_alias(scale: float) -> None:
    side = int(220 * scale)
    checker = (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)
    crop = extract(np.dstack([checker] * 3), similarity(scale, 11, (side / 2, side / 2)))
    assert abs(crop.astype(float) - 127.5).max() < 16


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(64, 301),
    width=st.integers(64, 301),
    scale=st.floats(0.3, 6),
    degrees=st.floats(-180, 180),
    x=st.floats(-400, 700),
    y=st.floats(-400, 700),
)
def test_any_placement_gives_a_crop_and_a_region_in_the_frame(
    height: int, width: int, scale: float, degrees: float, x: float, y: float
) -> None:
    frame = np.full((height, width, 3), 77, np.uint8)
    matrix = similarity(scale, degrees, (x, y))
    crop = extract(frame, matrix)
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8
    assert abs(crop.astype(int) - 77).max() <= 1
    x0, y0, x1, y1 = frame_region(matrix, (height, width))
    assert 0 <= x0 <= width
    assert 0 <= x1 <= width
    assert 0 <= y0 <= height
    assert 0 <= y1 <= height


def test_extraction_depends_on_the_face_alone() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (400, 500, 3), np.uint8)
    matrix = similarity(1.6, 8, (250, 200))
    wide = np.ascontiguousarray(np.pad(frame, ((31, 40), (77, 12), (0, 0)), constant_values=9))
    moved = matrix.copy()
    moved[:, 2] -= matrix[:, :2] @ (77, 31)
    np.testing.assert_array_equal(extract(frame, matrix), extract(frame, matrix))
    # OpenCV rounds sampling positions to 1/32 px, after the shift: hence the tolerance on white noise.
    assert np.mean(abs(extract(frame, matrix).astype(int) - extract(wide, moved))) < 1.5


def test_align_needs_a_bgr_frame() -> None:
    face = Face(box=np.array([0, 0, 127, 127]), landmarks=TEMPLATE, score=1.0)
    frame = np.zeros((128, 128, 3), np.uint8)
    aligned = align(frame, face)
    np.testing.assert_allclose(aligned.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    for bad in (frame[..., 0], frame.astype(np.float32), np.zeros((63, 64, 3), np.uint8), None):
        with pytest.raises(FrameError, match="frame: got"):
            align(bad, face)  # type: ignore[arg-type]


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.eye(3), np.full((2, 3), np.inf), "m", [[1, 2, 3]]])
def test_matrices_are_checked(matrix: object) -> None:
    with pytest.raises(ArgumentError, match="matrix: got"):
        check_matrix(matrix)  # type: ignore[arg-type]
