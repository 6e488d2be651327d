"""Sizes that headers promise are those of the decoded pictures, in every coding that is read."""

from __future__ import annotations

import resource
import struct

import cv2
import numpy as np
import pytest

from mfm_edge.errors import ArgumentError
from mfm_edge.image import MAX_PIXELS, coded_size, decode

CODINGS = {
    "png": (".png", []),
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "bmp": (".bmp", []),
    "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 50]),
    "webp without loss": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("channels", [3, 4])
def test_size_is_the_decoded_one(coding: str, channels: int) -> None:
    ending, options = CODINGS[coding]
    for width, height in ((64, 65), (301, 77), (1, 1000)):
        picture = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
        content = cv2.imencode(ending, picture, options)[1].tobytes()
        assert coded_size(content) == (width, height) == cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape[1::-1]
        for cut in (0, 3, 11, 14, 17):
            with pytest.raises(ArgumentError):
                coded_size(content[:cut])


def test_pixels_are_those_of_the_picture_and_no_others_are_read() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    content = cv2.imencode(".png", picture)[1].tobytes()
    np.testing.assert_array_equal(decode(content), picture)
    np.testing.assert_array_equal(decode(content + b"and more"), picture)
    for broken in (b"", b"no picture", content[:-20], content[:60] + bytes(40) + content[100:]):
        with pytest.raises(ArgumentError, match="picture: "):
            decode(broken)
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(ArgumentError, match=f"got {side}x{side} px"):
        decode(content[:16] + struct.pack(">II", side, side) + content[24:])


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt"])
def test_png_that_promises_a_part_of_gigabytes_is_not_decoded(kind: bytes) -> None:
    """OpenCV takes the memory first, and then sees that the file is shorter."""
    content = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    at = content.index(b"IDAT") - 4
    hostile = content[:at] + struct.pack(">I", 0xF0000000) + kind + content[at + 8 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArgumentError, match="cut off"):
        decode(hostile)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_fill_bytes_and_picture_from_the_top() -> None:
    content = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    assert coded_size(content[:2] + b"\xff\xff\xff" + content[2:]) == (30, 20)
    bitmap = bytearray(cv2.imencode(".bmp", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    bitmap[22:26] = (-20).to_bytes(4, "little", signed=True)
    assert coded_size(bytes(bitmap)) == (30, 20)


def test_other_codings_are_refused() -> None:
    for ending in (".tiff", ".ppm", ".hdr"):
        kind = np.float32 if ending == ".hdr" else np.uint8
        with pytest.raises(ArgumentError, match="something else than PNG"):
            coded_size(cv2.imencode(ending, np.zeros((20, 30, 3), kind))[1].tobytes())
