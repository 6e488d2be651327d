"""Coded pictures from anyone: how large they are, and their pixels. A small file may stand for a picture that fills the
memory."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError

__all__ = ["ENDINGS", "MAX_PIXELS", "coded_size", "decode"]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Of the names of pictures that are read. What a picture is, its content tells."""

MAX_PIXELS = 1 << 26
"""Most pixels of a frame that is decoded: 64 million, twice an 8K frame."""

_FRAME_STARTS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers that tell the size


def decode(content: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG, JPEG, BMP or WebP, (H, W, 3) BGR, turned as its EXIF orientation says. Raises ArgumentError
    for anything else, and for more than MAX_PIXELS."""
    width, height = coded_size(content)
    if width * height > MAX_PIXELS:
        raise ArgumentError(f"picture: got {width}x{height} px, takes at most {MAX_PIXELS} px in all")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None or sorted(pixels.shape[:2]) != sorted((height, width)):
        raise ArgumentError("picture: got one that is broken")
    return np.asarray(pixels, np.uint8)


def coded_size(content: bytes) -> tuple[int, int]:
    """(width, height) px that a PNG, JPEG, BMP or WebP promises, without decoding it. Raises ArgumentError for others,
    and for a PNG whose parts are not all there."""
    try:
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = _png(content)
        elif content[:2] == b"\xff\xd8":
            height, width = struct.unpack_from(">HH", content, _jpeg_frame(content) + 5)
        elif content[:2] == b"BM":
            width, height = struct.unpack_from("<ii", content, 18)
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            width, height = _webp(content)
        else:
            raise ArgumentError("picture: got something else than PNG, JPEG, BMP or WebP")
    except (struct.error, IndexError):
        raise ArgumentError("picture: is cut off") from None
    return abs(width), abs(height)  # a BMP of negative height is stored from the top


def _png(content: bytes) -> tuple[int, int]:
    """Every part must lie within the file: OpenCV takes the memory that a part promises before it reads it."""
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, position)
        position += 12 + length
    if position > len(content):
        raise IndexError
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _jpeg_frame(content: bytes) -> int:
    """Where the segment that tells the size begins."""
    position = 2
    while content[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, position + 1)
        if marker in _FRAME_STARTS:
            return position
        position += 1 if marker == 0xFF else 2 + length  # fill bytes may stand before a marker
    raise IndexError


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (both,) = struct.unpack_from("<I", content, 21)
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind != b"VP8X" or len(content) < 30:
        raise IndexError
    return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
