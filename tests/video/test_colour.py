"""Colour conversion against FFmpeg's exact (slow) converter, for every matrix and range that videos come in."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from mfm_edge.video.colour import frame_from_image, image_from_frame

EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def smooth(height: int = 120, width: int = 160) -> np.ndarray:
    x, y = np.linspace(0, 3, width)[None, :], np.linspace(0, 3, height)[:, None]
    return np.stack([np.sin(x + k) * np.cos(y - k) * 60 + 128 for k in range(3)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("matrix", ["ITU709", "ITU601"])
@pytest.mark.parametrize("colour_range", ["MPEG", "JPEG"])
def test_reads_every_matrix_and_range(matrix: str, colour_range: str) -> None:
    frame = av.VideoFrame.from_ndarray(smooth(), format="bgr24").reformat(
        format="yuv420p", dst_colorspace=matrix, dst_color_range=colour_range, interpolation=EXACT
    )
    difference = image_from_frame(frame) - smooth().astype(float)
    assert np.abs(difference).mean() < 1.2
    assert np.abs(difference.mean(axis=(0, 1))).max() < 1.2


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv422p", "gray", "rgb24", "yuv420p10le", "yuvj420p"])
def test_reads_other_pixel_formats(pixel_format: str) -> None:
    source = np.repeat(smooth()[:, :, :1], 3, axis=2)
    frame = av.VideoFrame.from_ndarray(source, format="bgr24").reformat(format=pixel_format)
    assert np.abs(image_from_frame(frame) - source.astype(float)).mean() < 3


def test_there_and_back_is_unbiased() -> None:
    frame = frame_from_image(smooth())
    assert (frame.format.name, int(frame.colorspace), int(frame.color_range)) == ("yuv420p", 6, 1)
    difference = image_from_frame(frame) - smooth().astype(float)
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.2
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 44


def test_odd_sizes_are_read() -> None:
    frame = av.VideoFrame.from_ndarray(smooth(121, 161), format="bgr24").reformat(format="yuv420p")
    assert image_from_frame(frame).shape == (121, 161, 3)
