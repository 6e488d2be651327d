"""Sealed originals: the pixels that protection changed, encrypted beside the video, so that restoring is bit-exact.

A file is one line of JSON (public: format, version, a random nonce, the stream's record header) and then chunks, each a
kind, a length, a GCM tag of these two, and AES-256-GCM over the content. The key is the stream's sealing key expanded
with the file's nonce. The chunk's number and kind are its GCM nonce, the hash of the first line is authenticated with
every chunk: a chunk that was changed, moved, repeated, left out or taken from another file does not open, and a file
without its last chunk was cut off. A length has a tag of its own, so that a changed one is not taken for a cut. The
first chunk is empty and tells wrong factors from the rest. Here alone is a guess confirmed.

Every region also holds a fingerprint of what protection showed there, so that originals are not put into a frame of
another time. Version 1, which is still read, had no fingerprints and no tags of kind and length.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import frame_region
from mfm_edge.errors import ArgumentError, FrameError, RecordError, SealError
from mfm_edge.factors import expand_key
from mfm_edge.fingerprint import TOLERANCE, difference, fingerprint
from mfm_edge.image_size import coded_size
from mfm_edge.record import MAX_FACES, RecordHeader
from mfm_edge.types import FaceRecord, Protected, Treatment, check_frame

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["FORMAT", "MAX_CHUNK_BYTES", "MAX_LINE_BYTES", "VERSION", "SealReader", "SealWriter", "SealedFrame",
           "SealedRegion", "face_region", "seal_of"]  # fmt: skip

FORMAT = "mfm_edge.seal"
VERSION = 2
MAX_LINE_BYTES = 1 << 16
"""Longest first line that is read."""
MAX_CHUNK_BYTES = 1 << 28
"""Largest chunk that is written or read: a frame of 64 million incompressible pixels fits."""

_KEY_LABEL = b"mfm_edge seal file/1"
_NONCE_BYTES = 32
_TAG_BYTES = 16
_HEAD = 1 << 16  # added to a kind: the nonce of the tag of a chunk's kind and length
_KEY_CHECK, _FRAME, _END = range(3)
_CHUNK = struct.Struct(">BI")
_COUNTS = struct.Struct(">dH")  # time in s (NaN: none), regions
_REGION = struct.Struct(">III")  # x, y, bytes of the coded picture; from version 2 on _FINGERPRINT and it follow
_FINGERPRINT = struct.Struct(">B")  # bytes of the fingerprint


def seal_of(video: Path) -> Path:
    """Where a protected video's sealed originals stand: beside it."""
    return video.with_name(video.name + ".mfm.seal")


@dataclass(frozen=True, slots=True, eq=False)
class SealedRegion:
    """x, y: px of the top left pixel in the frame. pixels: (h, w, 3) uint8 BGR, the original.

    fingerprint: of what the protected frame shows there, see mfm_edge.fingerprint; None where version 1 kept none.
    """

    x: int
    y: int
    pixels: NDArray[np.uint8]
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SealedFrame:
    """One frame's originals. index: from 0, no gaps. time: s on the video's clock or None."""

    index: int
    time: float | None
    regions: tuple[SealedRegion, ...]

    def belongs_to(self, frame: NDArray[np.uint8], following: SealedFrame | None = None) -> bool:
        """Whether a protected (H, W, 3) uint8 BGR frame shows at every region what it showed when it was sealed.

        What a codec changes is allowed for. following: the next sealed frame; a frame that resembles that one clearly
        more belongs to a later one. True where nothing was kept to compare: by version 1, or without regions.
        """
        own = self.difference(frame)
        later = math.inf if following is None or not following.regions else following.difference(frame)
        return own <= TOLERANCE and later >= 0.75 * own - 1

    def difference(self, frame: NDArray[np.uint8]) -> float:
        """How far a frame is from what was sealed, in levels of 255 at the region that differs most."""
        check_frame(frame)
        largest = 0.0
        for region in self.regions:
            height, width = region.pixels.shape[:2]
            place = frame[region.y : region.y + height, region.x : region.x + width]
            if place.shape != region.pixels.shape:
                return math.inf
            if region.fingerprint is not None:
                largest = max(largest, difference(place, region.fingerprint))
        return largest

    def restore(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of a protected (H, W, 3) uint8 BGR frame with the originals put back; the rest stays as it is.

        Raises FrameError for a frame that is smaller than the sealed one.
        """
        out = check_frame(frame).copy()
        for region in self.regions:
            height, width = region.pixels.shape[:2]
            place = out[region.y : region.y + height, region.x : region.x + width]
            if place.shape != region.pixels.shape:
                raise FrameError(
                    f"frame: got {frame.shape[1]}x{frame.shape[0]} px, smaller than the one that was sealed"
                )
            place[...] = region.pixels
        return out


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
        nonce = os.urandom(_NONCE_BYTES)
        content = {"format": FORMAT, "version": VERSION, "nonce": nonce.hex(), "record": json.loads(header.to_text())}
        line = json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"
        self._cipher, self._line_hash = _cipher(key, nonce), sha256(line).digest()
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise SealError(f"seal {self.path}: cannot be written ({error.strerror})") from None
        self._write(line)
        self._write_chunk(_KEY_CHECK, b"")

    def write(self, original: NDArray[np.uint8], protected: Protected, *, time: float | None = None) -> None:
        """Seals what `protected` shows differently: the region of every face, and whatever else was changed.

        original: (H, W, 3) uint8 BGR of the header's size, before protection. After an incident it is sealed whole.
        """
        check_frame(original, name="original")
        height, width = original.shape[:2]
        if (width, height) != (self._header.width, self._header.height) or protected.frame.shape != original.shape:
            raise FrameError(f"original: got {width}x{height} px, takes {self._header.width}x{self._header.height}")
        parts = []
        for x0, y0, x1, y1 in _changed_regions(original, protected):
            done, coded = cv2.imencode(self._coding[0], original[y0:y1, x0:x1], self._coding[1])
            if not done:
                raise SealError(f"seal {self.path}: a region of {x1 - x0}x{y1 - y0} px cannot be coded")
            shown = fingerprint(protected.frame[y0:y1, x0:x1])
            parts.append(_REGION.pack(x0, y0, len(coded)) + _FINGERPRINT.pack(len(shown)) + shown + coded.tobytes())
        head = _COUNTS.pack(math.nan if time is None else time, len(parts))
        self._write_chunk(_FRAME, b"".join([head, *parts]))

    def close(self) -> None:
        """Marks the end, so that cutting anything off is noticed, and closes the file."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._write_chunk(_END, b"")
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
        sealed = self._cipher.encrypt(_chunk_nonce(number, kind), content, self._line_hash)
        head = _CHUNK.pack(kind, len(sealed))
        tag = self._cipher.encrypt(_chunk_nonce(number, kind | _HEAD), b"", self._line_hash + head)
        self._write(head + tag + sealed)

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            self._failed = True
            raise SealError(f"seal {self.path}: cannot be written ({error.strerror})") from None


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
            self.version, nonce, self.header = _parse_line(self.path, line)
            self._cipher, self._line_hash = _cipher(key, nonce), sha256(line).digest()
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
        return _parse_line(Path(path), line)[2]

    def __iter__(self) -> Iterator[SealedFrame]:
        return self

    def __next__(self) -> SealedFrame:
        if self._ended:
            raise StopIteration
        kind, content = self._read_chunk()
        if kind == _END:
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
        tag_bytes = 0 if self.version == 1 else _TAG_BYTES
        head, tag = self._file.read(_CHUNK.size), self._file.read(tag_bytes)
        if len(head) < _CHUNK.size or len(tag) < tag_bytes:
            raise self._cut_off()
        kind, length = _CHUNK.unpack(head)
        try:
            if tag:
                self._cipher.decrypt(_chunk_nonce(number, kind | _HEAD), tag, self._line_hash + head)
            if length > MAX_CHUNK_BYTES:
                raise ValueError
            if length > os.fstat(self._file.fileno()).st_size - self._file.tell():  # before memory is asked for
                raise self._cut_off()
            content = self._cipher.decrypt(_chunk_nonce(number, kind), self._file.read(length), self._line_hash)
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
        time, number = _COUNTS.unpack_from(content)
        position, regions = _COUNTS.size, []
        if number > MAX_FACES + 1:
            raise ArgumentError("frame: has more regions than faces")
        for _ in range(number):
            x, y, length = _REGION.unpack_from(content, position)
            position += _REGION.size
            shown = None
            if self.version > 1:
                (shown_bytes,) = _FINGERPRINT.unpack_from(content, position)
                shown = content[position + 1 : position + 1 + shown_bytes]
                position += 1 + shown_bytes
            coded = content[position : position + length]
            position += length
            width, height = coded_size(coded)  # before decoding: a small file may stand for a huge picture
            if not (0 < width <= self.header.width - x and 0 < height <= self.header.height - y):
                raise ArgumentError("region: lies outside of the frame")
            try:
                pixels = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
            except cv2.error:
                pixels = None
            if pixels is None or pixels.shape != (height, width, 3):
                raise ArgumentError("region: cannot be decoded")
            regions.append(SealedRegion(x, y, pixels, shown))
        if position != len(content):
            raise ArgumentError("frame: has another length than its regions")
        return SealedFrame(self._frames, None if math.isnan(time) else time, tuple(regions))


def _cipher(key: bytes, nonce: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # A key a file: chunk numbers then never meet the same key twice, even under a salt that was used before.
    return AESGCM(expand_key(key, _KEY_LABEL + nonce))


def _chunk_nonce(number: int, kind: int) -> bytes:
    return struct.pack(">IQ", kind, number)


def _changed_regions(original: NDArray[np.uint8], protected: Protected) -> list[tuple[int, int, int, int]]:
    """x0, y0, x1, y1 (exclusive) of every face, and of what else differs: no changed pixel is left out."""
    height, width = original.shape[:2]
    if protected.incidents:
        return [(0, 0, width, height)]
    if len(protected.faces) > MAX_FACES:
        return [(0, 0, width, height)]  # more regions than a reader takes
    regions = [face_region(face, (height, width)) for face in protected.faces]
    regions = [(x0, y0, x1, y1) for x0, y0, x1, y1 in regions if x0 < x1 and y0 < y1]
    changed = cv2.absdiff(original, protected.frame)
    for x0, y0, x1, y1 in regions:
        changed[y0:y1, x0:x1] = 0
    x, y, w, h = cv2.boundingRect(changed.reshape(height, width * 3))
    if w and h:
        regions.append((x // 3, y, (x + w + 2) // 3, y + h))
    return regions


def face_region(face: FaceRecord, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive) in px of what protecting a face may change in a frame of size (height, width)."""
    if face.treatment is Treatment.SURROGATE:
        return frame_region(face.matrix, size)
    height, width = size
    around = 0.25 * float((face.box[2:] - face.box[:2]).max()) + 3  # what guard.cover_face covers around a box
    x0, y0 = np.clip(np.floor(face.box[:2] - around), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(face.box[2:] + around), 0, (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _parse_line(path: Path, line: bytes) -> tuple[int, bytes, RecordHeader]:
    try:
        content = json.loads(line)
        version, nonce, record = content["version"], bytes.fromhex(content["nonce"]), json.dumps(content["record"])
        if content["format"] != FORMAT or version not in (1, VERSION) or len(nonce) != _NONCE_BYTES:
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SealError(f"seal {path}: is not a file of sealed originals of version 1 or {VERSION}") from None
    try:
        return version, nonce, RecordHeader.from_text(record)
    except RecordError as error:
        raise SealError(f"seal {path}: {error}") from None
