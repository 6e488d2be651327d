"""Opens sealed originals frame by frame; the file may come from anyone."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType

from mfm_edge.errors import ArgumentError, SealError
from mfm_edge.image import coded_size, decode
from mfm_edge.record import MAX_FACES, RecordHeader
from mfm_edge.seal.frame import SealedFrame, SealedRegion
from mfm_edge.seal.layout import (
    CHUNK,
    COUNTS,
    END,
    FINGERPRINT,
    HEAD,
    MAX_CHUNK_BYTES,
    MAX_LINE_BYTES,
    REGION,
    TAG_BYTES,
    chunk_nonce,
    file_cipher,
    parse_line,
)

__all__ = ["SealReader"]


class SealReader:
    """Opens sealed originals frame by frame. A context manager and an iterator of SealedFrame.

    version: of the file; 1 keeps nothing that ties a frame's originals to that frame.
    The file's header tells the salt, so that the key can be derived before: read_header.
    `truncated` turns True when the file was cut off or its writer killed: all frames before have been given out.

    Raises SealError, naming file and frame, for a file that is missing, not a seal, of another version, cut off, sealed
    with other factors, or changed in any bit.
    """

    def __init__(self, path: str | Path, key: bytes) -> None:
        self.path = Path(path)
        self.truncated = False
        self._number = count()
        self._frames = 0
        self._ended = False
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise SealError(f"seal {self.path}: cannot be read ({error.strerror})") from None
        try:
            line = self._file.readline(MAX_LINE_BYTES)
            self.version, nonce, self.header = parse_line(self.path, line)
            self._cipher, self._line_hash = file_cipher(key, nonce), sha256(line).digest()
            self._read_chunk()
        except BaseException:
            self._file.close()
            raise

    @staticmethod
    def read_header(path: str | Path) -> RecordHeader:
        """The stream's header, from the first line alone. It is only believed once a reader could open the file."""
        try:
            with Path(path).open("rb") as file:
                line = file.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise SealError(f"seal {path}: cannot be read ({error.strerror})") from None
        return parse_line(Path(path), line)[2]

    def __iter__(self) -> Iterator[SealedFrame]:
        return self

    def __next__(self) -> SealedFrame:
        if self._ended:
            raise StopIteration
        kind, content = self._read_chunk()
        if kind == END:
            self._ended = True
            if self._file.read(1):
                raise SealError(f"seal {self.path}: got something behind its end, takes a file as it was written")
            raise StopIteration
        try:
            frame = self._parse_frame(content)
        except (struct.error, ArgumentError):  # authentic, yet not as this program writes it
            raise SealError(f"seal {self.path}, frame {self._frames}: got content that holds no picture") from None
        self._frames += 1
        return frame

    def close(self) -> None:
        """Closes the file; iterating ends."""
        self._ended = True
        self._file.close()

    def __enter__(self) -> SealReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_chunk(self) -> tuple[int, bytes]:
        from cryptography.exceptions import InvalidTag

        number = next(self._number)
        tag_bytes = 0 if self.version == 1 else TAG_BYTES
        head, tag = self._file.read(CHUNK.size), self._file.read(tag_bytes)
        if len(head) < CHUNK.size or len(tag) < tag_bytes:
            raise self._cut_off()
        kind, length = CHUNK.unpack(head)
        try:
            if tag:
                self._cipher.decrypt(chunk_nonce(number, kind | HEAD), tag, self._line_hash + head)
            if length > MAX_CHUNK_BYTES:
                raise ValueError
            if length > os.fstat(self._file.fileno()).st_size - self._file.tell():  # before memory is asked for
                raise self._cut_off()
            content = self._cipher.decrypt(chunk_nonce(number, kind), self._file.read(length), self._line_hash)
        except (InvalidTag, ValueError):
            self._ended = True
            if number == 0:
                problem = f"seal {self.path}: factors differ from those that sealed it, or its start was changed"
            else:
                problem = f"seal {self.path}, frame {self._frames}: was changed, moved or comes from another file"
            raise SealError(problem) from None
        return kind, content

    def _cut_off(self) -> SealError:
        self._ended = self.truncated = True
        return SealError(f"seal {self.path}: is cut off after {self._frames} frames")

    def _parse_frame(self, content: bytes) -> SealedFrame:
        time, number = COUNTS.unpack_from(content)
        position, regions = COUNTS.size, []
        if number > MAX_FACES + 1:
            raise ArgumentError("frame: has more regions than faces")
        for _ in range(number):
            x, y, length = REGION.unpack_from(content, position)
            position += REGION.size
            shown = None
            if self.version > 1:
                (shown_bytes,) = FINGERPRINT.unpack_from(content, position)
                shown = content[position + 1 : position + 1 + shown_bytes]
                position += 1 + shown_bytes
            coded = content[position : position + length]
            position += length
            width, height = coded_size(coded)  # before decoding: a small file may stand for a huge picture
            if not (0 < width <= self.header.width - x and 0 < height <= self.header.height - y):
                raise ArgumentError("region: lies outside of the frame")
            pixels = decode(coded)
            if pixels.shape != (height, width, 3):
                raise ArgumentError("region: holds another picture than it says")
            regions.append(SealedRegion(x, y, pixels, shown))
        if position != len(content):
            raise ArgumentError("frame: has another length than its regions")
        return SealedFrame(self._frames, None if math.isnan(time) else time, tuple(regions))
