"""Which record and which originals belong to a frame: by its time, and by how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from mfm_edge.errors import SealError
from mfm_edge.fingerprint import looks_like
from mfm_edge.record import FrameRecord, RecordHeader
from mfm_edge.seal import SealedFrame, SealReader, face_region
from mfm_edge.types import FaceRecord
from mfm_edge.video import Source, VideoFrame

__all__ = ["Matcher", "SealedFrames", "fits", "places", "shows"]

_SAME_TIME = 0.003
"""s by which the time in a file may differ from that in its sidecar: Matroska counts in milliseconds."""

_Timed = TypeVar("_Timed", bound=FrameRecord | SealedFrame)


class Matcher(Generic[_Timed]):
    """Finds each frame's record by its time, counted from the first frame: frames may be missing on either side.

    Where the video's first frames are missing it finds wrong ones: what it finds has to be compared with the frame.
    """

    def __init__(self, records: Iterator[_Timed]) -> None:
        self._records = records
        self._next = next(records, None)
        self._first = None if self._next is None else self._next.time
        self._offset: float | None = None

    @property
    def following(self) -> _Timed | None:
        """The record after the one found last."""
        return self._next

    def at(self, seconds: float) -> _Timed | None:
        """The record of the frame shown at `seconds`, None where there is none."""
        if self._first is None:  # records without times: frames count
            found, self._next = self._next, next(self._records, None)
            return found
        if self._offset is None:
            self._offset = seconds - self._first
        wanted = seconds - self._offset
        while self._next is not None and (self._next.time is None or self._next.time < wanted - _SAME_TIME):
            self._next = next(self._records, None)
        if self._next is None or self._next.time is None or self._next.time > wanted + _SAME_TIME:
            return None
        found, self._next = self._next, next(self._records, None)
        return found


class SealedFrames(Matcher[SealedFrame]):
    """A seal's frames up to where it was cut off, by a killed process for one; any other fault is raised."""

    def __init__(self, reader: SealReader) -> None:
        self._reader = reader
        super().__init__(self._until_cut())

    @property
    def truncated(self) -> bool:
        return self._reader.truncated

    @property
    def version(self) -> int:
        return self._reader.version

    def _until_cut(self) -> Iterator[SealedFrame]:
        try:
            yield from self._reader
        except SealError:
            if not self._reader.truncated:
                raise


def places(faces: Sequence[FaceRecord], header: RecordHeader) -> list[tuple[int, int, int, int]]:
    """x0, y0, x1, y1 of all that protecting these faces changes, px; see face_region."""
    return [face_region(face, (header.height, header.width)) for face in faces]


def shows(record: FrameRecord, frame: VideoFrame, header: RecordHeader) -> bool:
    """Whether a frame looks, around its faces, as the one that the record was written for."""
    if record.fingerprint is None:
        return True
    image = frame.image[: header.height, : header.width]
    return looks_like(image, record.fingerprint, without=places(record.faces, header))


def fits(header: RecordHeader, source: Source) -> bool:
    """Whether a video has the size that its header tells, and is a recording."""
    even = (header.width + header.width % 2, header.height + header.height % 2)
    return not source.live and source.size in (even, (header.width, header.height))
