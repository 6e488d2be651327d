"""How large a coded picture is, without decoding it: a small file may stand for a picture that fills the memory."""

from __future__ import annotations

import struct

from mfm_edge.errors import ArgumentError

__all__ = ["MAX_PIXELS", "coded_size"]

MAX_PIXELS = 1 << 26
"""Most pixels of a frame that is decoded: 64 million, twice an 8K frame."""

_FRAME_STARTS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers that tell the size


def coded_size(content: bytes) -> tuple[int, int]:
    """(width, height) px that the header of a PNG, JPEG, BMP or WebP promises. Raises ArgumentError for others."""
    try:
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack_from(">II", content, 16)
        elif content[:2] == b"\xff\xd8":
            height, width = struct.unpack_from(">HH", content, _jpeg_frame(content) + 5)
        elif content[:2] == b"BM":
            width, height = struct.unpack_from("<ii", content, 18)
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            width, height = _webp(content)
        else:
            raise ArgumentError("picture: got something else than PNG, JPEG, BMP or WebP")
    except (struct.error, IndexError):
        raise ArgumentError("picture: is cut off before its size") from None
    return abs(width), abs(height)  # a BMP of negative height is stored from the top


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
