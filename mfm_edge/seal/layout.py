"""How a file of sealed originals is laid out: its first line, its chunks, and what they are encrypted with."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from mfm_edge.errors import RecordError, SealError
from mfm_edge.factors import expand_key
from mfm_edge.record import RecordHeader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["CHUNK", "COUNTS", "END", "FINGERPRINT", "FORMAT", "FRAME", "HEAD", "KEY_CHECK", "MAX_CHUNK_BYTES",
           "MAX_LINE_BYTES", "NONCE_BYTES", "REGION", "TAG_BYTES", "VERSION", "chunk_nonce", "file_cipher",
           "parse_line", "seal_of"]  # fmt: skip

FORMAT = "mfm_edge.seal"
VERSION = 2
MAX_LINE_BYTES = 1 << 16
"""Longest first line that is read."""
MAX_CHUNK_BYTES = 1 << 28
"""Largest chunk that is written or read: a frame of 64 million incompressible pixels fits."""

NONCE_BYTES = 32
TAG_BYTES = 16
KEY_CHECK, FRAME, END = range(3)
HEAD = 1 << 16  # added to a kind: the nonce of the tag of a chunk's kind and length
CHUNK = struct.Struct(">BI")  # kind, length
COUNTS = struct.Struct(">dH")  # time in s (NaN: none), regions
REGION = struct.Struct(">III")  # x, y, bytes of the coded picture; from version 2 on FINGERPRINT and it follow
FINGERPRINT = struct.Struct(">B")  # bytes of the fingerprint

_KEY_LABEL = b"mfm_edge seal file/1"


def seal_of(video: Path) -> Path:
    """Where a protected video's sealed originals stand: beside it."""
    return video.with_name(video.name + ".mfm.seal")


def file_cipher(key: bytes, nonce: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # A key a file: chunk numbers then never meet the same key twice, even under a salt that was used before.
    return AESGCM(expand_key(key, _KEY_LABEL + nonce))


def chunk_nonce(number: int, kind: int) -> bytes:
    return struct.pack(">IQ", kind, number)


def parse_line(path: Path, line: bytes) -> tuple[int, bytes, RecordHeader]:
    try:
        content = json.loads(line)
        version, nonce, record = content["version"], bytes.fromhex(content["nonce"]), json.dumps(content["record"])
        if content["format"] != FORMAT or version not in (1, VERSION) or len(nonce) != NONCE_BYTES:
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SealError(f"seal {path}: is not a file of sealed originals of version 1 or {VERSION}") from None
    try:
        return version, nonce, RecordHeader.from_text(record)
    except RecordError as error:
        raise SealError(f"seal {path}: {error}") from None
