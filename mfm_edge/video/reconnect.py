"""A network stream that comes back: connected again, with longer and longer pauses."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.video.live import StreamGrabber
from mfm_edge.video.sources import STREAM_OPTIONS, open_container, public_name, resized

__all__ = ["ReconnectingGrabber"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""s before the first and at most before any later attempt; each pause is twice the one before."""


class ReconnectingGrabber:
    """A StreamGrabber (see there) that connects again when the stream ends or breaks.

    seconds: without a frame for so long, the last error is raised; above 0. Frames keep the first one's size.
    reconnects: how often the stream came back.
    """

    def __init__(self, where: str, *, container: Any, seconds: float) -> None:
        if not seconds > 0:
            raise ArgumentError(f"reconnect: got {seconds!r}, takes seconds above 0")
        self._where = where
        self._seconds = seconds
        self._now: StreamGrabber | None = StreamGrabber(where, container=container)
        self._corrupt_before = 0
        self._size: tuple[int, int] | None = None
        self.reconnects = 0
        self.name = public_name(where)
        self.frame_rate = self._now.frame_rate

    @property
    def corrupt(self) -> int:
        return self._corrupt_before + (0 if self._now is None else self._now.corrupt)

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame, after as many attempts as it takes. SourceError when none came in time."""
        pause, give_up = FIRST_PAUSE, time.monotonic() + self._seconds
        again = False
        while True:
            try:
                if self._now is None:
                    self._now = StreamGrabber(
                        self._where, container=open_container(self._where, options=STREAM_OPTIONS)
                    )
                    again = True
                image = self._now.read()
                error = SourceError(f"source {self.name}: ended")
            except SourceError as broken:
                image, error = None, broken
            if image is not None:
                self.reconnects += again
                self._size = self._size or (image.shape[1], image.shape[0])
                return resized(image, self._size)
            if self._now is not None:
                self._corrupt_before += self._now.corrupt
                self._now.close()
                self._now = None
            left = give_up - time.monotonic()
            if left <= 0:
                raise SourceError(f"{error}; nothing for {self._seconds:g} s of trying again")
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def close(self) -> None:
        """Closes the connection."""
        if self._now is not None:
            self._now.close()
