"""The sidecar of a protected video: what restoring needs beside the factors, as JSON Lines.

The first line is the header, every further line one frame, written and flushed before the frame itself is encoded, so
that a killed process loses at most the line at hand. Nothing in it is secret: no password, no attribute, no picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from mfm_edge.errors import ArgumentError, FactorError, MfmError, RecordError
from mfm_edge.factors import SALT_BYTES, KeyDerivation
from mfm_edge.fingerprint import MAX_BYTES
from mfm_edge.types import FaceRecord, Treatment

__all__ = ["FORMAT", "MAX_FACES", "MAX_LINE_BYTES", "VERSION", "FrameRecord", "RecordHeader", "RecordReader",
           "RecordWriter", "sidecar_of"]  # fmt: skip

FORMAT = "mfm_edge.record"
VERSION = 2
"""Version 1, which is still read, had no fingerprints."""
MAX_FACES = 1024
"""Most faces in one frame that are written or read."""
MAX_LINE_BYTES = 1 << 20
"""Longest line that is read, in bytes: MAX_FACES faces fit about three times."""

_Content = TypeVar("_Content", "RecordHeader", "FrameRecord")
_MAX_SIDE = 1 << 16
_MAX_COORDINATE = 1e7
_HEADER_KEYS = {"format", "version", "salt", "key_derivation", "model_id", "width", "height", "frame_rate"}
_FRAME_KEYS = {"index", "time", "faces", "incidents", "fingerprint"}
_FACE_KEYS = {"matrix", "box", "score", "track", "treatment"}


def sidecar_of(video: Path) -> Path:
    """Where a protected video's sidecar stands unless another place is given: beside it."""
    return video.with_name(video.name + ".mfm.jsonl")


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
        return json.dumps(_header_to_json(self), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> RecordHeader:
        """The inverse of `to_text`. Raises RecordError for anything else."""
        try:
            content = json.loads(text[:MAX_LINE_BYTES], parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            content = None
        return _header_from_json(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """One protected frame. index: from 0, no gaps. time: s on the video's clock or None. incidents: see Protected.

    fingerprint: of the protected frame without its faces, see mfm_edge.fingerprint; None for none.
    """

    index: int
    faces: tuple[FaceRecord, ...]
    time: float | None = None
    incidents: int = 0
    fingerprint: bytes | None = None


class RecordWriter:
    """Writes a sidecar, one flushed line a frame. A context manager; a second `close` does nothing.

    Raises RecordError when the file cannot be written, ArgumentError for more than MAX_FACES faces or a gap in the
    indices. What was written before stays readable.
    """

    def __init__(self, path: str | Path, header: RecordHeader) -> None:
        self.path = Path(path)
        self._next_index = 0
        try:
            self._file = self.path.open("w", encoding="ascii", newline="\n")
        except OSError as error:
            raise RecordError(f"record {self.path}: cannot be written ({error.strerror})") from None
        self._write_line(header.to_text())

    def write(self, frame: FrameRecord) -> None:
        """Appends one frame."""
        if frame.index != self._next_index:
            raise ArgumentError(f"FrameRecord.index: got {frame.index}, takes {self._next_index}, the next in order")
        if len(frame.faces) > MAX_FACES:
            raise ArgumentError(f"FrameRecord.faces: got {len(frame.faces)} faces, takes at most {MAX_FACES}")
        self._write_line(json.dumps(_frame_to_json(frame), separators=(",", ":"), allow_nan=False))
        self._next_index += 1

    def close(self) -> None:
        """Closes the file."""
        try:
            self._file.close()
        except OSError as error:
            raise RecordError(f"record {self.path}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_line(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise RecordError(f"record {self.path}: cannot be written ({error.strerror})") from None


class RecordReader:
    """Reads a sidecar line by line, checking everything: it may come from anyone. A context manager and an iterator.

    model_id: the id of the network that shall restore; None accepts any.
    `truncated` turns True when the last line was cut off by a killed process: that one frame has no record.

    Raises RecordError, naming file and line, for a file that is missing, not a sidecar, of another version or model, or
    that holds a line which is too long, incomplete before the end, or out of range.
    """

    def __init__(self, path: str | Path, *, model_id: str | None = None) -> None:
        self.path = Path(path)
        self.truncated = False
        self._line_number = 0
        self._next_index = 0
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise RecordError(f"record {self.path}: cannot be read ({error.strerror})") from None
        try:
            self.header = self._read_header(model_id)
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[FrameRecord]:
        return self

    def __next__(self) -> FrameRecord:
        line = self._read_line()
        if not line:
            raise StopIteration
        try:
            frame = self._parse(line, _frame_from_json)
            if frame.index != self._next_index:
                raise self._error(f"index: got {frame.index}, takes {self._next_index}, the next in order")
        except RecordError:
            if line.endswith(b"\n"):
                raise
            self.truncated = True
            raise StopIteration from None
        self._next_index += 1
        return frame

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_header(self, model_id: str | None) -> RecordHeader:
        line = self._read_line()
        if not line:
            raise self._error("the file is empty, takes a header")
        header = self._parse(line, _header_from_json)
        if model_id is not None and header.model_id != model_id:
            raise self._error(
                f"model_id: got a video protected by model {header.model_id}, takes model {model_id}, the one loaded; "
                "restore with the model that protected it"
            )
        return header

    def _read_line(self) -> bytes:
        self._line_number += 1
        try:
            line = self._file.readline(MAX_LINE_BYTES + 1)
        except OSError as error:
            raise self._error(f"cannot be read ({error.strerror})") from None
        if len(line) > MAX_LINE_BYTES:
            raise self._error(f"line: got more than {MAX_LINE_BYTES} bytes, takes at most that")
        return line

    def _parse(self, line: bytes, convert: Callable[[Any], _Content]) -> _Content:
        try:
            return convert(json.loads(line, parse_constant=_refuse_constant))
        except MfmError as error:
            message = str(error)
        except (ValueError, RecursionError):
            message = "got text that is not JSON, takes one JSON object a line"
        raise self._error(message)

    def _error(self, message: str) -> RecordError:
        return RecordError(f"record {self.path}, line {self._line_number}: {message}")


def _header_to_json(header: RecordHeader) -> dict[str, Any]:
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


def _header_from_json(content: Any) -> RecordHeader:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RecordError(f"format: got something else, takes a sidecar whose first line says {FORMAT!r}")
    if content.get("version") not in (1, VERSION):
        raise RecordError(f"version: got {content.get('version')!r:.40}, takes 1 or {VERSION}, those that are read")
    _check_keys("header", content, _HEADER_KEYS)
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
        width=_integer("width", content["width"], 1, _MAX_SIDE),
        height=_integer("height", content["height"], 1, _MAX_SIDE),
        frame_rate=None if frame_rate is None else _number("frame_rate", frame_rate, 1e-3, 1e5),
    )


def _frame_to_json(frame: FrameRecord) -> dict[str, Any]:
    faces = [
        {
            "matrix": face.matrix.reshape(-1).tolist(),  # full precision: restoring resamples with the same numbers
            "box": [round(float(edge), 2) for edge in face.box],
            "score": round(face.score, 4),
            "track": face.track,
            "treatment": str(face.treatment),
        }
        for face in frame.faces
    ]
    shown = None if frame.fingerprint is None else frame.fingerprint.hex()
    return {"index": frame.index, "time": frame.time, "faces": faces, "incidents": frame.incidents,
            "fingerprint": shown}  # fmt: skip


def _frame_from_json(content: Any) -> FrameRecord:
    if isinstance(content, dict):
        content = {"fingerprint": None, **content}  # version 1 had none
    _check_keys("frame", content, _FRAME_KEYS)
    faces = content["faces"]
    if not isinstance(faces, list) or len(faces) > MAX_FACES:
        got = f"{len(faces)} faces" if isinstance(faces, list) else type(faces).__name__
        raise RecordError(f"faces: got {got}, takes a list of at most {MAX_FACES}")
    time = content["time"]
    return FrameRecord(
        index=_integer("index", content["index"], 0, 1 << 53),
        time=None if time is None else _number("time", time, -1e9, 1e12),
        faces=tuple(_face_from_json(face) for face in faces),
        incidents=_integer("incidents", content["incidents"], 0, 1 << 53),
        fingerprint=_fingerprint(content["fingerprint"]),
    )


def _face_from_json(content: Any) -> FaceRecord:
    _check_keys("face", content, _FACE_KEYS)
    matrix = _numbers("matrix", content["matrix"], 6)
    if abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]) < 1e-9:
        raise RecordError("matrix: got one that cannot be inverted, takes frame px -> crop px")
    track = content["track"]
    try:
        treatment = Treatment(content["treatment"])
    except ValueError:
        takes = " or ".join(repr(str(known)) for known in Treatment)
        raise RecordError(f"treatment: got {content['treatment']!r:.40}, takes {takes}") from None
    return FaceRecord(
        matrix=[matrix[:3], matrix[3:]],  # type: ignore[arg-type]  # FaceRecord makes the array
        box=_numbers("box", content["box"], 4),  # type: ignore[arg-type]
        score=_number("score", content["score"], 0.0, 1.0),
        track=None if track is None else _integer("track", track, 0, 1 << 53),
        treatment=treatment,
    )


def _check_keys(name: str, content: Any, keys: set[str]) -> None:
    if not isinstance(content, dict):
        raise RecordError(f"{name}: got {type(content).__name__}, takes an object with {', '.join(sorted(keys))}")
    for key in sorted(keys - content.keys()):
        raise RecordError(f"{name}: {key} is missing")
    for key in sorted(content.keys() - keys):
        raise RecordError(f"{name}: got unknown {key!r:.60}, takes {', '.join(sorted(keys))}")


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


def _fingerprint(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        shown = bytes.fromhex(value)
    except (TypeError, ValueError):
        shown = b""
    if not 1 <= len(shown) <= MAX_BYTES:
        raise RecordError(f"fingerprint: got {value!r:.40}, takes 1 to {MAX_BYTES} bytes in hexadecimal, or null")
    return shown


def _integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecordError(f"{name}: got {value!r:.40}, takes an integer from {low} to {high}")
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise RecordError(f"{name}: got {value!r:.40}, takes a number from {low:g} to {high:g}")
    return float(value)


def _numbers(name: str, value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise RecordError(f"{name}: got {value!r:.40}, takes {count} numbers")
    return [_number(name, number, -_MAX_COORDINATE, _MAX_COORDINATE) for number in value]


def _refuse_constant(name: str) -> float:
    raise RecordError(f"got {name}, takes finite numbers")
