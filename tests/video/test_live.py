"""Live sources: newest frame first, and no device can hang the reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.video import open_source
from mfm_edge.video.live import LiveSource


class FakeGrabber:
    """Frames whose pixels hold their number; `pause` s apart."""

    name = "fake"
    frame_rate = 100.0
    corrupt = 0

    def __init__(self, *, count: int, pause: float = 0.0, ending: Callable[[], None] = lambda: None) -> None:
        self.count, self.pause, self.ending = count, pause, ending
        self.given = 0
        self.closed = threading.Event()

    def read(self) -> NDArray[np.uint8] | None:
        if self.given == self.count:
            self.ending()
            return None
        time.sleep(self.pause)
        self.given += 1
        return np.full((64, 64, 3), self.given, np.uint8)

    def close(self) -> None:
        self.closed.set()


def test_slow_reader_gets_the_newest_frame_and_the_rest_is_counted() -> None:
    grabber = FakeGrabber(count=60, pause=0.005)
    numbers = []
    with LiveSource(grabber) as source:
        for frame in source:
            numbers.append(int(frame.image[0, 0, 0]))
            time.sleep(0.03)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 60  # the last frame is never dropped: nothing newer came
    assert len(numbers) + source.dropped == 60
    assert source.dropped > 20
    assert grabber.closed.wait(1)


def test_times_are_those_of_arrival() -> None:
    with LiveSource(FakeGrabber(count=10, pause=0.02)) as source:
        times = [frame.time for frame in source]
    assert times[0] < 0.1 and times == sorted(times) and times[-1] < 2


def test_hanging_device_is_reported_not_waited_for() -> None:
    release = threading.Event()
    grabber = FakeGrabber(count=3, ending=lambda: release.wait(30) and None)
    started = time.monotonic()
    with LiveSource(grabber, stall_seconds=0.3) as source, pytest.raises(SourceError, match=r"sent nothing for 0.3 s"):
        list(source)
    assert time.monotonic() - started < 3
    release.set()


def test_device_that_never_sends_is_refused() -> None:
    release = threading.Event()
    with pytest.raises(SourceError, match="sent nothing"):
        LiveSource(FakeGrabber(count=0, ending=lambda: release.wait(30) and None), stall_seconds=0.2)
    with pytest.raises(SourceError, match="ended before its first frame"):
        LiveSource(FakeGrabber(count=0))
    with pytest.raises(ArgumentError, match="stall_seconds"):
        LiveSource(FakeGrabber(count=1), stall_seconds=0)
    release.set()


def test_driver_error_reaches_the_reader_after_the_last_frame() -> None:
    def fail() -> None:
        raise RuntimeError("bus reset")

    with LiveSource(FakeGrabber(count=3, pause=0.01, ending=fail)) as source:
        numbers = []
        with pytest.raises(SourceError, match=r"broke off \(RuntimeError: bus reset\)"):
            for frame in source:
                numbers.append(int(frame.image[0, 0, 0]))
    assert numbers[-1] == 3


def test_closing_while_a_reader_waits_ends_the_iteration() -> None:
    release = threading.Event()
    source = LiveSource(FakeGrabber(count=1, ending=lambda: release.wait(30) and None), stall_seconds=20)
    frames = iter(source)
    next(frames)
    threading.Timer(0.1, source.close).start()
    started = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - started < 5
    release.set()


class FakeCapture:
    """Stands in for cv2.VideoCapture: a camera that is unplugged after five frames."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.left = 5

    def isOpened(self) -> bool:  # OpenCV's name
        return self.index == 0

    def get(self, _property: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.left -= 1
        time.sleep(0.01)
        return (True, np.zeros((72, 96, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.left = 0


def test_camera_that_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with open_source("0") as source, pytest.raises(SourceError, match="camera 0: disappeared after 5 frames"):
        for frame in source:
            assert frame.image.shape == (72, 96, 3)
    assert (source.size, source.frame_rate, source.live) == ((96, 72), 30.0, True)


def test_network_camera_that_goes_away(mjpeg_server: Callable[..., str]) -> None:
    frames = []
    with open_source(mjpeg_server(count=25)) as source, pytest.raises(SourceError, match="broke off after 24 frames"):
        for frame in source:
            frames.append(frame)
    assert source.live and source.size == (96, 64)
    assert len(frames) + source.dropped == 24
    assert frames[-1].image.std() > 10


def test_network_stream_that_stalls(mjpeg_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfm_edge.video.sources.STALL_SECONDS", 1.0)
    started = time.monotonic()
    with open_source(mjpeg_server(count=30, stall=True)) as source, pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        list(source)
    assert time.monotonic() - started < 15


def test_network_address_without_a_server() -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source("http://127.0.0.1:9/video")
