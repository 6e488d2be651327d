"""How large a coded picture is, without decoding it."""

from __future__ import annotations

import struct

from mfm_edge.errors import ArgumentError

__all__ = ["coded_size"]


def coded_size(content: bytes) -> tuple[int, int]:
    """(width, height) px that the header of a PNG or JPEG promises. Raises ArgumentError for anything else."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)
        return width, height
    position = 2 if content[:2] == b"\xff\xd8" else len(content)
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker, length = struct.unpack_from(">xBH", content, position)
        if marker in (0xC0, 0xC1, 0xC2):  # start of frame: baseline, extended, progressive
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        position += 2 + length
    raise ArgumentError("picture: got neither PNG nor JPEG")
