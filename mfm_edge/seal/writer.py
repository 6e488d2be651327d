"""Writes sealed originals, frame by frame."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, FrameError, SealError
from mfm_edge.fingerprint import fingerprint
from mfm_edge.record import RecordHeader
from mfm_edge.seal.layout import (
    CHUNK,
    COUNTS,
    END,
    FINGERPRINT,
    FORMAT,
    FRAME,
    HEAD,
    KEY_CHECK,
    MAX_CHUNK_BYTES,
    NONCE_BYTES,
    REGION,
    VERSION,
    chunk_nonce,
    file_cipher,
)
from mfm_edge.seal.regions import changed_regions
from mfm_edge.types import Protected, check_frame

__all__ = ["SealWriter"]


class SealWriter:
    """Seals a stream's originals, one flushed chunk a frame. A context manager; a second `close` does nothing.

    key: MfmStream.sealing_key. header: the stream's. quality: None codes losslessly (PNG), 1 to 100 as JPEG.

    Raises SealError when the file cannot be written, ArgumentError for another quality. What was written before stays
    readable; nothing that is not encrypted ever reaches the file.
    """

    def __init__(self, path: str | Path, key: bytes, header: RecordHeader, *, quality: int | None = None) -> None:
        if quality is not None and (isinstance(quality, bool) or not 1 <= quality <= 100):
            raise ArgumentError(f"quality: got {quality!r}, takes 1 to 100, or None for lossless")
        self.path = Path(path)
        self._coding = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]) if quality is None else (
            ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])  # fmt: skip
        self._header = header
        self._number = count()
        self._failed = self._closed = False
        nonce = os.urandom(NONCE_BYTES)
        content = {"format": FORMAT, "version": VERSION, "nonce": nonce.hex(), "record": json.loads(header.to_text())}
        line = json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"
        self._cipher, self._line_hash = file_cipher(key, nonce), sha256(line).digest()
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise SealError(f"seal {self.path}: cannot be written ({error.strerror})") from None
        self._write(line)
        self._write_chunk(KEY_CHECK, b"")

    def write(self, original: NDArray[np.uint8], protected: Protected, *, time: float | None = None) -> None:
        """Seals what `protected` shows differently: the region of every face, and whatever else was changed.

        original: (H, W, 3) uint8 BGR of the header's size, before protection. After an incident it is sealed whole.
        """
        check_frame(original, name="original")
        height, width = original.shape[:2]
        if (width, height) != (self._header.width, self._header.height) or protected.frame.shape != original.shape:
            raise FrameError(f"original: got {width}x{height} px, takes {self._header.width}x{self._header.height}")
        parts = []
        for x0, y0, x1, y1 in changed_regions(original, protected):
            done, coded = cv2.imencode(self._coding[0], original[y0:y1, x0:x1], self._coding[1])
            if not done:
                raise SealError(f"seal {self.path}: a region of {x1 - x0}x{y1 - y0} px cannot be coded")
            shown = fingerprint(protected.frame[y0:y1, x0:x1])
            parts.append(REGION.pack(x0, y0, len(coded)) + FINGERPRINT.pack(len(shown)) + shown + coded.tobytes())
        head = COUNTS.pack(math.nan if time is None else time, len(parts))
        self._write_chunk(FRAME, b"".join([head, *parts]))

    def close(self) -> None:
        """Marks the end, so that cutting anything off is noticed, and closes the file."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._write_chunk(END, b"")
        finally:
            with suppress(OSError):  # what could not be written was reported by then
                self._file.close()

    def __enter__(self) -> SealWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_chunk(self, kind: int, content: bytes) -> None:
        if len(content) > MAX_CHUNK_BYTES - 16:
            raise SealError(f"seal {self.path}: got a frame of {len(content)} bytes, takes {MAX_CHUNK_BYTES}")
        number = next(self._number)
        sealed = self._cipher.encrypt(chunk_nonce(number, kind), content, self._line_hash)
        head = CHUNK.pack(kind, len(sealed))
        tag = self._cipher.encrypt(chunk_nonce(number, kind | HEAD), b"", self._line_hash + head)
        self._write(head + tag + sealed)

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            self._failed = True
            raise SealError(f"seal {self.path}: cannot be written ({error.strerror})") from None
