"""Live sources: a thread takes every frame as it comes, the reader gets the newest one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.video.sources import STALL_SECONDS, VideoFrame, public_name, resized, to_bgr, video_stream

__all__ = ["CameraGrabber", "Grabber", "LiveSource", "StreamGrabber"]

_CAMERA_RETRIES = 5
_RETRY_SECONDS = 0.05


class Grabber(Protocol):
    """Takes frames from a device. `read` blocks, gives (H, W, 3) uint8 BGR, None at the end, or raises SourceError."""

    name: str
    frame_rate: float | None

    @property
    def corrupt(self) -> int: ...

    def read(self) -> NDArray[np.uint8] | None: ...

    def close(self) -> None: ...


class LiveSource:
    """The newest frame of a live source; older ones that nobody took are dropped and counted. See Source.

    The device is read by a thread of its own, so that a device that hangs never hangs the reader: a frame that does not
    come within `stall_seconds` raises SourceError.
    """

    live = True
    frame_count: int | None = None
    audio: Path | None = None
    names: Sequence[str] = ()
    pixel_aspect = Fraction(1)
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, grabber: Grabber, *, stall_seconds: float = STALL_SECONDS) -> None:
        if not stall_seconds > 0:
            raise ArgumentError(f"stall_seconds: got {stall_seconds!r}, takes a number above 0")
        self.name = grabber.name
        self.frame_rate = grabber.frame_rate
        self.dropped = 0
        self._grabber = grabber
        self._stall_seconds = stall_seconds
        self._changed = threading.Condition()
        self._newest: VideoFrame | None = None
        self._ended = False
        self._closed = False
        self._error: SourceError | None = None
        self._taken = 0
        # A daemon: a read that never returns must not keep the process alive either.
        self._thread = threading.Thread(target=self._run, name=f"mfm_edge source {self.name}", daemon=True)
        self._thread.start()
        try:
            first = self._wait(take=False)
        except SourceError:
            self.close()
            raise
        if first is None:
            self.close()
            raise SourceError(f"source {self.name}: ended before its first frame, takes a source that sends video")
        height, width = first.image.shape[:2]
        self.size = (width, height)

    @property
    def corrupt(self) -> int:
        return self._grabber.corrupt

    def __iter__(self) -> Iterator[VideoFrame]:
        while (frame := self._wait(take=True)) is not None:
            self._taken += 1
            yield frame

    def close(self) -> None:
        """Stops reading. Waits a second for the device at most, then leaves it to the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, *, take: bool) -> VideoFrame | None:
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._newest is not None or self._ended or self._closed, timeout=self._stall_seconds
            )
            if self._closed:
                return None
            if not arrived:
                raise SourceError(
                    f"source {self.name}: sent nothing for {self._stall_seconds:g} s, after {self._taken} frames"
                )
            frame = self._newest
            if frame is None and self._error is not None:
                raise self._error
            if take:
                self._newest = None
            return frame

    def _run(self) -> None:
        started: float | None = None
        try:
            while not self._closed:
                image = self._grabber.read()
                if image is None:
                    break
                now = time.monotonic()
                started = now if started is None else started
                with self._changed:
                    if self._newest is not None:
                        self.dropped += 1
                    self._newest = VideoFrame(image, now - started)
                    self._changed.notify_all()
        except SourceError as error:
            self._error = error
        except Exception as error:  # a thread's exception must reach the reader, whatever the driver raised
            self._error = SourceError(f"source {self.name}: broke off ({type(error).__name__}: {error})")
        finally:
            self._grabber.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()


class CameraGrabber:
    """A camera of this machine by its index, through OpenCV. Raises SourceError when it cannot be opened."""

    corrupt = 0

    def __init__(self, index: int) -> None:
        import cv2

        self.name = f"camera {index}"
        if index < 0:
            raise ArgumentError(f"source: got camera index {index}, takes 0 or more")
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"source {self.name}: cannot be opened, takes the index of a connected camera")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = rate if 1 <= rate <= 1000 else None
        self._size: tuple[int, int] | None = None
        self._count = 0

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame. A camera that fails a few times in a row is gone: SourceError."""
        for _ in range(_CAMERA_RETRIES):
            good, image = self._capture.read()
            if good and image is not None and image.size:
                return self._same_size(image)
            time.sleep(_RETRY_SECONDS)
        raise SourceError(f"source {self.name}: disappeared after {self._count} frames")

    def close(self) -> None:
        """Gives the camera back."""
        self._capture.release()

    def _same_size(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        self._count += 1
        self._size = self._size or (image.shape[1], image.shape[0])
        if image.ndim == 2:  # thermal and industrial cameras
            image = np.repeat(image[:, :, None], 3, axis=2)
        return resized(image, self._size)


class StreamGrabber:
    """A network stream through FFmpeg, from an open container. Single corrupt packets are left out and counted."""

    def __init__(self, where: str, *, container: Any) -> None:
        self.name = public_name(where)
        self._container = container
        stream = video_stream(container, self.name)
        rate = stream.average_rate or stream.guessed_rate
        self.frame_rate = float(rate) if rate and 1 <= rate <= 1000 else None
        self.corrupt = 0
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._frames = self._decode(stream)

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame; None when the sender ended the stream."""
        image = next(self._frames, None)
        if image is not None:
            self._count += 1
            self._size = self._size or (image.shape[1], image.shape[0])
        return image

    def close(self) -> None:
        """Closes the connection."""
        self._container.close()

    def _decode(self, stream: Any) -> Iterator[NDArray[np.uint8]]:
        import av

        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                reason = "no data in time" if isinstance(error, av.error.ExitError) else error.strerror
                raise SourceError(f"source {self.name}: broke off after {self._count} frames ({reason})") from None
            if packet is None:
                return
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                self.corrupt += 1
                continue
            for frame in decoded:
                yield to_bgr(frame, self._size)
