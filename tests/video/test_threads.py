"""Reading ahead and writing behind: order, bounds, errors from either side, and that nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mfm_edge.video.threads import WriteBehind, parallel, read_ahead

IMAGE = np.zeros((2, 2, 3), np.uint8)


def workers() -> int:
    ours = ("read ahead", "write behind", "parallel")
    return sum(thread.name.startswith(ours) for thread in threading.enumerate())


def test_reads_everything_in_order_but_never_far_ahead() -> None:
    fetched: list[int] = []

    def count() -> Iterator[int]:
        for number in range(50):
            fetched.append(number)
            yield number

    for number in read_ahead(count(), depth=2):
        time.sleep(0.001)
        assert len(fetched) <= number + 1 + 2
        assert fetched[: number + 1] == list(range(number + 1))
    assert fetched == list(range(50)) and workers() == 0


def test_error_of_the_source_comes_after_what_it_gave() -> None:
    def breaks() -> Iterator[int]:
        yield from range(5)
        raise OSError("unplugged")

    seen = []
    with pytest.raises(OSError, match="unplugged"):
        for number in read_ahead(breaks(), depth=3):
            time.sleep(0.002)
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4] and workers() == 0


@pytest.mark.parametrize("taken", [1, 30])
def test_reader_that_stops_early_leaves_no_thread(taken: int) -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield (number := number + 1)
        finally:
            closed.append(True)

    source = endless()
    items = read_ahead(source)
    for _ in range(taken):
        next(items)
    items.close()
    assert workers() == 0
    source.close()  # possible only when no thread is inside it
    assert closed == [True]


def test_items_are_worked_on_at_the_same_time_and_come_in_order() -> None:
    together, most = 0, 0
    lock = threading.Lock()

    def square(number: int) -> int:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.01 if number % 3 else 0.03)  # the first of three is overtaken
        with lock:
            together -= 1
        return number * number

    assert list(parallel(square, range(30), workers=3, depth=4)) == [n * n for n in range(30)]
    assert most == 3 and workers() == 0


def test_with_one_worker_nothing_overtakes() -> None:
    seen: list[int] = []
    assert list(parallel(lambda n: seen.append(n), range(9), workers=1, depth=2)) == [None] * 9
    assert seen == list(range(9))


@pytest.mark.parametrize("side", ["items", "work"])
def test_errors_come_where_they_belong(side: str) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        if side == "items":
            raise OSError("unplugged")
        yield 5

    def work(number: int) -> int:
        if number == 5:
            raise OSError("unplugged")
        return number

    seen = []
    with pytest.raises(OSError, match="unplugged"):
        for number in parallel(work, items(), workers=2, depth=3):
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4] and workers() == 0


def test_work_that_is_not_taken_is_not_begun() -> None:
    begun: list[int] = []
    results = parallel(lambda n: begun.append(n), range(1000), workers=2, depth=2)
    for _ in range(3):
        next(results)
    results.close()
    assert len(begun) <= 3 + 2 + 1 and workers() == 0


def test_writes_everything_in_order_before_it_ends() -> None:
    written: list[float] = []

    def slow(image: np.ndarray, at: float) -> None:
        time.sleep(0.002)
        written.append(at)

    with WriteBehind(slow, depth=2) as behind:
        for index in range(20):
            behind.put(IMAGE, float(index))
            assert index - len(written) <= 3
    assert written == [float(index) for index in range(20)] and workers() == 0


def test_pictures_already_handed_over_are_written_when_the_caller_fails() -> None:
    written: list[float] = []
    with pytest.raises(ValueError, match="caller"), WriteBehind(lambda _, at: written.append(at)) as behind:
        behind.put(IMAGE, 1.0)
        behind.put(IMAGE, 2.0)
        raise ValueError("caller")
    assert written == [1.0, 2.0] and workers() == 0


def test_error_of_the_writer_reaches_the_caller_and_ends_the_writing() -> None:
    tried: list[float] = []

    def full(image: np.ndarray, at: float) -> None:
        tried.append(at)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), WriteBehind(full) as behind:
        for index in range(100):
            behind.put(IMAGE, float(index))
            time.sleep(0.001)
    assert tried == [0.0] and workers() == 0

    with pytest.raises(OSError, match="no space left"), WriteBehind(full) as behind:
        behind.put(IMAGE, 0.0)
