"""Reading ahead, working in parallel and writing behind: decoder, network and encoder work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Queue
from threading import Event, Semaphore, Thread
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["WriteBehind", "parallel", "read_ahead"]

DEPTH = 2
"""Frames that wait between two threads: enough to even out frames that take longer, little enough to keep memory and
delay low."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def read_ahead(items: Iterable[_Item], depth: int = DEPTH) -> Generator[_Item, None, None]:
    """The same items in the same order, fetched on a thread that is at most `depth` items ahead: with 1 it begins an
    item when the one before it has been taken.

    An exception of `items` is raised here after the last item that came before it. Closing the generator ends the
    thread; it waits for the item at hand.
    """
    ready: Queue[tuple[_Item] | BaseException | None] = Queue()
    room = Semaphore(depth)
    ended = Event()

    def fetch() -> None:
        last: BaseException | None = None
        try:
            remaining = iter(items)
            while room.acquire() and not ended.is_set():
                ready.put((next(remaining),))
        except StopIteration:
            pass
        except BaseException as error:  # whatever it is, it belongs to the reader
            last = error
        ready.put(last)

    thread = Thread(target=fetch, name="read ahead", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            room.release()
            yield found[0]
    finally:
        ended.set()
        room.release()
        thread.join()


def parallel(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int, depth: int
) -> Generator[_Result, None, None]:
    """`work` done to each item, in order, by that many threads; `items` is fetched on another one, at most `depth`
    ahead of what is taken. Exceptions of both are raised in their place; closing waits for what is at hand.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="parallel") as pool:
        begun = (pool.submit(work, item) for item in items)
        with closing(read_ahead(begun, depth)) as results:
            for result in results:
                yield result.result()


class WriteBehind:
    """Hands pictures to `write(image, time)` on a thread of its own, in order, at most `depth` behind.

    A context manager: leaving it waits until all are written. An exception of `write` is raised by the next `put` or on
    leaving; nothing is written after it.
    """

    def __init__(self, write: Callable[[NDArray[np.uint8], float], object], depth: int = DEPTH) -> None:
        self._write = write
        self._waiting: Queue[tuple[NDArray[np.uint8], float] | None] = Queue(depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="write behind", daemon=True)
        self._thread.start()

    def put(self, image: NDArray[np.uint8], time: float) -> None:
        """Takes a picture, which must not be changed afterwards; waits while `depth` are waiting."""
        self._raise()
        self._waiting.put((image, time))

    def _work(self) -> None:
        while (found := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._write(*found)
                except BaseException as error:  # raised again on the caller's thread
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise()
