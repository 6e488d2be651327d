"""Writes a sidecar, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from mfm_edge.errors import ArgumentError, RecordError
from mfm_edge.record.frame import MAX_FACES, FrameRecord, frame_to_json
from mfm_edge.record.header import RecordHeader

__all__ = ["RecordWriter", "sidecar_of"]


def sidecar_of(video: Path) -> Path:
    """Where a protected video's sidecar stands unless another place is given: beside it."""
    return video.with_name(video.name + ".mfm.jsonl")


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
        self._write_line(json.dumps(frame_to_json(frame), separators=(",", ":"), allow_nan=False))
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
