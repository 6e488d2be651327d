"""mfm_edge.pixels: the native kernels against numpy, on every level and on what is no level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm_edge.errors import ArgumentError
from mfm_edge.pixels import to_pixels, to_pixels_reference, to_planes, to_planes_reference

SHAPES = st.tuples(st.integers(0, 3), st.integers(1, 33), st.integers(1, 40))


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES)
def test_into_the_network_it_equals_the_reference_bit_for_bit(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    pixels.setflags(write=False)  # input is only read
    planes = to_planes(pixels)
    np.testing.assert_array_equal(planes, to_planes_reference(pixels))
    np.testing.assert_array_equal(to_pixels(planes), pixels)


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, scale=st.sampled_from([0.5, 1.1, 1e6]))
def test_out_of_the_network_it_equals_the_reference(shape: tuple[int, int, int], scale: float) -> None:
    batch, height, width = shape
    planes = np.random.default_rng(0).normal(0, scale, (batch, 3, height, width)).astype(np.float32)
    before = planes.copy()
    np.testing.assert_array_equal(to_pixels(planes), to_pixels_reference(planes))
    np.testing.assert_array_equal(planes, before)


def test_colours_are_where_they_belong() -> None:
    pixels = np.zeros((2, 3, 5, 3), np.uint8)
    pixels[1, 2, 4] = (255, 0, 51)  # blue, green, red
    planes = to_planes(pixels)
    np.testing.assert_allclose(planes[1, :, 2, 4], (51 / 127.5 - 1, -1, 1), atol=1e-6)
    assert (planes[0] == -1).all()


def test_what_is_no_level_is_the_nearest_and_nan_is_black() -> None:
    values = [-np.inf, -7.0, -1.0, 1.0, 3.0, np.inf, np.nan, -0.0]
    planes = np.repeat(np.array(values, np.float32).reshape(1, 1, 1, 8), 3, axis=1)
    for convert in (to_pixels, to_pixels_reference):
        assert convert(planes)[0, 0, :, 0].tolist() == [0, 0, 0, 255, 255, 255, 0, 128]


def test_halves_are_rounded_to_even() -> None:
    halves = np.arange(0.5, 255, 1, dtype=np.float32)
    planes = halves / np.float32(127.5) - np.float32(1)
    exact = (planes + np.float32(1)) * np.float32(127.5)
    planes = np.repeat(planes[exact == halves].reshape(1, 1, 1, -1), 3, axis=1)
    assert planes.shape[-1] > 100
    levels = np.rint(halves[exact == halves]).astype(np.uint8)
    for convert in (to_pixels, to_pixels_reference):
        np.testing.assert_array_equal(convert(planes)[0, 0, :, 2], levels)


def test_bad_arguments_are_named() -> None:
    pixels, planes = np.zeros((1, 4, 6, 3), np.uint8), np.zeros((1, 3, 4, 6), np.float32)
    for convert, name, array in [
        (to_planes, "pixels", pixels.astype(np.int32)),
        (to_planes, "pixels", pixels[0]),
        (to_planes, "pixels", pixels[:, ::2]),
        (to_planes, "pixels", pixels[..., ::-1]),
        (to_planes, "pixels", planes),
        (to_planes, "pixels", [1]),
        (to_pixels, "planes", planes.astype(np.float64)),
        (to_pixels, "planes", planes[:, :2]),
        (to_pixels, "planes", planes[:, ::-1]),
        (to_pixels, "planes", pixels),
    ]:
        with pytest.raises(ArgumentError, match=f"^{name}: got"):
            convert(array)  # type: ignore[operator]
