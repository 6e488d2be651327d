"""Ctrl-C and SIGTERM end after the frame at hand; a second one ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from mfm_edge.video import FileSource, Source

__all__ = ["Stop", "stopping"]


@dataclass(slots=True)
class Stop:
    """signal: the signal that came, None so far. source: what is read now."""

    signal: int | None = None
    source: Source | None = None

    def exit_code(self, source: Source) -> int:
        """0, or what tells that a recording is incomplete. Ending a live source is how one ends it."""
        return 128 + self.signal if self.signal is not None and not source.live else 0


@contextmanager
def stopping() -> Iterator[Stop]:
    """Catches both signals until it is left."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)
        if stop.source is not None and not isinstance(stop.source, FileSource):
            stop.source.close()  # wakes the reader, which may wait for a camera that hangs

    try:
        for number in before:
            signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
