"""Raw frames from a pipe, such as ffmpeg's `-f rawvideo -pix_fmt bgr24 -`."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.video.sources import VideoFrame

__all__ = ["RawSource"]


class RawSource:
    """Frames of (height, width, 3) uint8 BGR without anything between them, from a file descriptor. See Source.

    The writer waits for the reader: no frame is dropped. size: (width, height) px. rate: frames a second. `close` ends
    the iteration, also while it waits; the descriptor stays open. A last frame that is incomplete raises SourceError.
    """

    live = False
    dropped = corrupt = 0
    frame_count: int | None = None
    audio: Path | None = None
    names: Sequence[str] = ()
    pixel_aspect = Fraction(1)
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, descriptor: int, *, size: tuple[int, int], rate: float) -> None:
        if min(size) < 1:
            raise ArgumentError(f"size: got {size[0]}x{size[1]}, takes the frames' width and height in px")
        if not rate > 0:
            raise ArgumentError(f"rate: got {rate!r}, takes frames a second above 0")
        self.name = "standard input"
        self.size = size
        self.frame_rate = float(rate)
        self._descriptor = descriptor
        self._closed = False

    def __iter__(self) -> Iterator[VideoFrame]:
        width, height = self.size
        index = 0
        while (content := self._read(width * height * 3, index)) is not None:
            yield VideoFrame(np.frombuffer(content, np.uint8).reshape(height, width, 3), index / self.frame_rate)
            index += 1

    def close(self) -> None:
        """Ends the iteration within a fifth of a second; may be called from a signal handler."""
        self._closed = True

    def __enter__(self) -> RawSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, count: int, index: int) -> bytearray | None:
        content = bytearray(count)
        view, filled = memoryview(content), 0
        while filled < count:
            if self._closed:
                return None
            if not select.select([self._descriptor], [], [], 0.2)[0]:
                continue
            got = os.readv(self._descriptor, [view[filled:]])
            if got == 0 and filled == 0:
                return None
            if got == 0:
                raise SourceError(
                    f"source {self.name}: ended within frame {index}, after {filled} of {count} bytes; takes whole "
                    f"frames of {self.size[0]}x{self.size[1]} px, 3 bytes each"
                )
            filled += got
        return content
