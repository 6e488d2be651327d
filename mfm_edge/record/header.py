"""What is true for a whole protected video: the sidecar's first line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mfm_edge.errors import FactorError, RecordError
from mfm_edge.factors import SALT_BYTES, KeyDerivation
from mfm_edge.record.checks import check_keys, integer, number, refuse_constant

__all__ = ["FORMAT", "MAX_LINE_BYTES", "VERSION", "RecordHeader", "header_from_json"]

FORMAT = "mfm_edge.record"
VERSION = 5
"""Before it, records did not hold what lies beyond the frame. Only headers of those are read: a seal has one, too."""
MAX_LINE_BYTES = 1 << 20
"""Longest line that is read, in bytes: MAX_FACES faces fit about three times."""

_MAX_SIDE = 1 << 16
_KEYS = {"format", "version", "salt", "key_derivation", "model_id", "width", "height", "frame_rate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """What is true for a whole protected video.

    salt: 8 to 64 public random bytes. key_derivation: how the secret was derived. model_id: the network's id.
    width, height: px of the frames that were protected (a file may be one px larger, where H.264 needs even sizes).
    frame_rate: frames a second, None where the source did not tell.
    """

    salt: bytes
    key_derivation: KeyDerivation
    model_id: str
    width: int
    height: int
    frame_rate: float | None = None

    @property
    def stream_id(self) -> str:
        """16 hexadecimal digits that name the stream in public: a hash of its salt."""
        return sha256(b"mfm_edge stream id/1" + self.salt).hexdigest()[:16]

    def to_text(self) -> str:
        """The header as one line of JSON: the sidecar's first, and a tag in the video in case the sidecar gets lost."""
        return json.dumps(_to_json(self), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> RecordHeader:
        """The inverse of `to_text`. Raises RecordError for anything else."""
        try:
            content = json.loads(text[:MAX_LINE_BYTES], parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            content = None
        return header_from_json(content)


def _to_json(header: RecordHeader) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "salt": header.salt.hex(),
        "key_derivation": header.key_derivation.to_mapping(),
        "model_id": header.model_id,
        "width": header.width,
        "height": header.height,
        "frame_rate": header.frame_rate,
    }


def header_from_json(content: Any, *, oldest: int = 1) -> RecordHeader:
    """oldest: version that is read."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RecordError(f"format: got something else, takes a sidecar whose first line says {FORMAT!r}")
    if content.get("version") not in range(oldest, VERSION + 1):
        takes = f"{oldest} to {VERSION}" if oldest < VERSION else f"{VERSION}"
        got = f"{content.get('version')!r:.40}"
        raise RecordError(f"version: got {got}, takes {takes}; another version of this program wrote it")
    check_keys("header", content, _KEYS)
    salt = _salt(content["salt"])
    model_id = content["model_id"]
    if not isinstance(model_id, str) or not 1 <= len(model_id) <= 128:
        raise RecordError(f"model_id: got {model_id!r:.40}, takes a string of 1 to 128 characters")
    frame_rate = content["frame_rate"]
    try:
        key_derivation = KeyDerivation.from_mapping(content["key_derivation"])
    except FactorError as error:
        raise RecordError(str(error)) from None
    return RecordHeader(
        salt=salt,
        key_derivation=key_derivation,
        model_id=model_id,
        width=integer("width", content["width"], 1, _MAX_SIDE),
        height=integer("height", content["height"], 1, _MAX_SIDE),
        frame_rate=None if frame_rate is None else number("frame_rate", frame_rate, 1e-3, 1e5),
    )


def _salt(value: Any) -> bytes:
    shortest, longest = SALT_BYTES
    takes = f"{shortest} to {longest} bytes in hexadecimal"
    try:
        salt = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise RecordError(f"salt: got {value!r:.40}, takes {takes}") from None
    if not shortest <= len(salt) <= longest:
        raise RecordError(f"salt: got {len(salt)} bytes, takes {takes}")
    return salt
