"""Reads a sidecar, which may come from anyone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from mfm_edge.errors import MfmError, RecordError
from mfm_edge.record.checks import refuse_constant
from mfm_edge.record.frame import FrameRecord, frame_from_json
from mfm_edge.record.header import MAX_LINE_BYTES, VERSION, RecordHeader, header_from_json

__all__ = ["RecordReader"]

_Content = TypeVar("_Content", RecordHeader, FrameRecord)


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
            frame = self._parse(line, frame_from_json)
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
        header = self._parse(line, partial(header_from_json, oldest=VERSION))
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
            return convert(json.loads(line, parse_constant=refuse_constant))
        except MfmError as error:
            message = str(error)
        except (ValueError, RecursionError):
            message = "got text that is not JSON, takes one JSON object a line"
        raise self._error(message)

    def _error(self, message: str) -> RecordError:
        return RecordError(f"record {self.path}, line {self._line_number}: {message}")
