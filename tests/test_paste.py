"""mfm_edge.paste: the native blend against its reference, what it leaves alone, and the round trip."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm_edge import paste as paste_module
from mfm_edge.align import extract, frame_region
from mfm_edge.errors import ArgumentError, FrameError
from mfm_edge.native import NATIVE
from mfm_edge.paste import blend_layer_reference, feather_mask, paste
from mfm_edge.types import WINDOW

PHOTO = Path(__file__).parents[2] / "shared" / "data" / "photos" / "face-detection__obama.jpg"


def similarity(scale: float, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    return np.column_stack([linear, 63.5 - linear @ centre])


placements = {
    "height": st.integers(64, 211),
    "width": st.integers(64, 211),
    "scale": st.floats(0.2, 4),
    "degrees": st.floats(-180, 180),
    "x": st.floats(-150, 350),
    "y": st.floats(-150, 350),
    "seed": st.integers(0, 1000),
}


@settings(deadline=None, max_examples=60)
@given(**placements)
def test_native_equals_reference(
    height: int, width: int, scale: float, degrees: float, x: float, y: float, seed: int
) -> None:
    if NATIVE is None:
        pytest.skip("the native extension was not built")
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    layer = rng.uniform(-20, 280, (256, 256, 4)).astype(np.float32)
    layer[..., 3] = rng.choice([0, rng.uniform(), 1], (256, 256))
    left, top, right, bottom = rng.integers(0, 257, 4)  # what the weight covers, perhaps nothing
    layer[:top, :, 3] = layer[bottom:, :, 3] = layer[:, :left, 3] = layer[:, right:, 3] = 0
    matrix = similarity(scale, degrees, (x, y)) * 2
    expected = frame.copy()
    blend_layer_reference(expected, layer, matrix)
    NATIVE.blend_layer(frame, layer, matrix)
    np.testing.assert_array_equal(frame, expected)


@settings(deadline=None, max_examples=60)
@given(**placements)
def test_outside_the_region_every_pixel_stays(
    height: int, width: int, scale: float, degrees: float, x: float, y: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 256, (height, width, 3), np.uint8)
    after = before.copy()
    matrix = similarity(scale, degrees, (x, y))
    paste(after, 255 - extract(before, matrix), matrix)
    ys, xs = np.mgrid[:height, :width]
    u = matrix[0, 0] * xs + matrix[0, 1] * ys + matrix[0, 2]
    v = matrix[1, 0] * xs + matrix[1, 1] * ys + matrix[1, 2]
    outside = (u <= 0) | (u >= 127) | (v <= 0) | (v >= 127)
    np.testing.assert_array_equal(after[outside], before[outside])
    x0, y0, x1, y1 = frame_region(matrix, (height, width))
    changed = (after != before).any(-1)
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


@settings(deadline=None, max_examples=40)
@given(**placements)
def test_what_has_no_weight_may_be_left_out(
    height: int, width: int, scale: float, degrees: float, x: float, y: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    crop = rng.integers(0, 256, (128, 128, 3), np.uint8)
    mask = rng.uniform(size=(128, 128)).astype(np.float32)
    top, left, bottom, right = rng.integers(0, 129, 4)  # perhaps nothing stays
    mask[:top] = mask[bottom:] = mask[:, :left] = mask[:, right:] = 0
    matrix = similarity(scale, degrees, (x, y))
    whole, part = frame.copy(), frame.copy()
    paste(part, crop, matrix, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paste_module, "_AROUND", 128)  # nothing is
        paste(whole, crop, matrix, mask)
    np.testing.assert_array_equal(part, whole)


def test_where_the_mask_is_one_only_the_crop_shows() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    matrix = similarity(1.3, 20, (150, 150))
    paste(frame, np.full((128, 128, 3), 200, np.uint8), matrix)
    ys, xs = np.mgrid[:300, :300]
    u = matrix[0, 0] * xs + matrix[0, 1] * ys + matrix[0, 2]
    v = matrix[1, 0] * xs + matrix[1, 1] * ys + matrix[1, 2]
    face = (u > 32) & (u < 95) & (v > 32) & (v < 112)
    assert (frame[face] == 200).all()


def test_a_frame_side_view_is_left_alone_beyond_its_rows() -> None:
    tall = np.zeros((500, 128, 3), np.uint8)
    paste(tall[100:300], np.full((128, 128, 3), 255, np.uint8), similarity(2, 45, (64, 100)))
    assert not tall[:100].any()
    assert not tall[300:].any()
    assert tall[100:300].any()


@pytest.mark.parametrize("feather", [1, 2])
def test_mask_is_one_in_the_window_zero_beyond_the_ramp_and_smooth(feather: int) -> None:
    mask = feather_mask(feather)
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert (edge == 0).all()
    top, left, side = WINDOW
    assert (mask[top : top + side, left : left + side] == 1).all()
    beyond = mask.copy()
    beyond[top - feather : top + side + feather, left - feather : left + side + feather] = 0
    assert not beyond.any()
    assert abs(np.diff(mask, axis=0)).max() <= 1.6 / (feather + 1)
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


# The crop that comes back after pasting and extracting it again, PSNR in dB where the mask is 1, measured on a photo at
# these sizes of the face (frame px per crop px). Measured 30.0, 35.9, 40.9, 40.9, 40.0, 40.7, 41.5
# and 42.3.
ROUND_TRIP = {0.5: 29.5, 0.75: 35.5, 1.0: 40.4, 1.3: 40.4, 1.7: 39.5, 2.0: 40.2, 3.0: 41.0, 4.0: 41.8}


@pytest.mark.parametrize("scale", ROUND_TRIP)
def test_extracting_what_was_pasted_gives_the_crop_back(scale: float) -> None:
    if not PHOTO.exists():
        pytest.skip("needs ../shared/data/photos")
    photo = cv2.imread(str(PHOTO))
    height, width = photo.shape[:2]
    crop = extract(photo, similarity(min(height, width) / 200, 0, (width / 2, height / 2)))
    rng = np.random.default_rng(1)
    results = []
    for _ in range(4):
        side = int(240 * scale) + 64
        matrix = similarity(scale, rng.uniform(-20, 20), tuple(side / 2 + rng.uniform(-1, 1, 2)))
        frame = rng.integers(0, 256, (side, side, 3), np.uint8)
        paste(frame, crop, matrix)
        face = cv2.erode((feather_mask() == 1).astype(np.uint8), np.ones((9, 9))) > 0
        error = extract(frame, matrix)[face].astype(float) - crop[face]
        results.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(results) > ROUND_TRIP[scale], f"{np.mean(results):.1f} dB"


def test_works_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    other = frame.copy()
    crop = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    matrix = similarity(0.8, 5, (90, 120))
    paste(frame, crop, matrix)
    monkeypatch.setattr(paste_module, "NATIVE", None)
    paste(other, crop, matrix)
    np.testing.assert_array_equal(frame, other)


def test_bad_arguments_are_named() -> None:
    frame, crop, matrix = np.zeros((100, 100, 3), np.uint8), np.zeros((128, 128, 3), np.uint8), np.eye(3)[:2]
    read_only = np.load(io.BytesIO(_saved(frame)))
    read_only.setflags(write=False)
    cases = [
        (FrameError, "frame: .*read-only", (read_only, crop, matrix)),
        (FrameError, "frame: .*contiguous", (np.zeros((100, 200, 3), np.uint8)[:, ::2], crop, matrix)),
        (FrameError, "frame: got", (frame.astype(np.float32), crop, matrix)),
        (ArgumentError, "crop: got", (frame, crop[:64], matrix)),
        (ArgumentError, "crop: got", (frame, crop.astype(np.float64), matrix)),
        (ArgumentError, "crop: .*finite", (frame, np.full((128, 128, 3), np.nan, np.float32), matrix)),
        (ArgumentError, "matrix: got", (frame, crop, np.zeros((2, 3)))),
        (ArgumentError, "mask: got", (frame, crop, matrix, np.ones((128, 128)))),
        (ArgumentError, "mask: got values", (frame, crop, matrix, np.full((128, 128), 1.5, np.float32))),
        (ArgumentError, "mask: got values", (frame, crop, matrix, np.full((128, 128), np.nan, np.float32))),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message):
            paste(*arguments)
    with pytest.raises(ArgumentError, match="feather: got"):
        feather_mask(0)


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
