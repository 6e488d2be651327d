"""Where frames come from. A recording waits for its reader; a live source drops the oldest frame and never piles up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.image import ENDINGS, MAX_PIXELS
from mfm_edge.video.colour import image_from_frame

__all__ = ["FileSource", "Source", "VideoFrame", "open_source", "public_name"]

OPEN_SECONDS = 10.0
"""How long opening a network address may take."""
STALL_SECONDS = 10.0
"""How long a source may send nothing before it counts as lost."""
STREAM_OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer"}
"""FFmpeg's options for network streams."""
MAX_CORRUPT_PACKETS = 250
"""After so many undecodable packets in a row (about ten seconds) a recording is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """image: (H, W, 3) uint8 BGR, upright. time: s on the source's clock, rising; live sources start at 0."""

    image: NDArray[np.uint8]
    time: float


_Self = TypeVar("_Self", bound="Source")


class Source(Protocol):
    """What every source offers: an iterator of frames, all of one size, and a context manager.

    name: for messages, without credentials. size: (width, height) px. frame_rate: frames a second or None. frame_count:
    expected number or None. live: whether frames are dropped when the reader is slow. pixel_aspect: width over height
    of one pixel. audio: the file whose sound belongs to the frames, or None. dropped: frames that nobody took in time.
    corrupt: packets that could not be decoded and were left out. metadata: the file's own tags, such as "comment".
    names: the file names of the frames, for pictures; empty for all others.

    Iterating raises SourceError when the source breaks, after the last frame that could be read.
    """

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def frame_rate(self) -> float | None: ...

    @property
    def frame_count(self) -> int | None: ...

    @property
    def live(self) -> bool: ...

    @property
    def pixel_aspect(self) -> Fraction: ...

    @property
    def audio(self) -> Path | None: ...

    @property
    def dropped(self) -> int: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def names(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[VideoFrame]: ...

    def close(self) -> None: ...

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(where: int | str | Path, *, reconnect: float = 0.0, rate: float | None = None) -> Source:
    """Opens a camera (index, also as digits), a file, a picture, a folder of pictures, or a URL that FFmpeg knows
    (rtsp, http, rtmp, udp, ...).

    A URL whose length is known is a recording and waits like a file; any other is live. reconnect: for how many s a
    live URL that broke off is tried again; 0 reports it at once. rate: frames a second of pictures (25 if None).
    Raises SourceError when it cannot be opened, ArgumentError for anything else than int, str or Path.
    """
    from mfm_edge.video.live import CameraGrabber, LiveSource, StreamGrabber
    from mfm_edge.video.pictures import PictureSource

    if isinstance(where, bool) or not isinstance(where, (int, str, Path)) or where == "":
        got = repr(where) if where == "" else type(where).__name__
        raise ArgumentError(f"source: got {got}, takes a camera index, a path or a URL")
    digits = isinstance(where, str) and where.isascii() and where.isdigit()
    if isinstance(where, int) or (digits and not Path(where).exists()):
        return LiveSource(CameraGrabber(int(str(where))))
    if isinstance(where, Path) or "://" not in where:
        path = Path(where)
        if path.is_dir() or (path.is_file() and path.suffix.lower() in ENDINGS):
            return PictureSource(path, rate=25.0 if rate is None else rate)
        return FileSource(path)
    container = open_container(where, options=STREAM_OPTIONS)
    if container.duration is not None:
        return FileSource(where, container=container)
    if reconnect > 0:
        from mfm_edge.video.reconnect import ReconnectingGrabber

        grabber = ReconnectingGrabber(where, container=container, seconds=reconnect)
        return LiveSource(grabber, stall_seconds=reconnect + OPEN_SECONDS + STALL_SECONDS)
    return LiveSource(StreamGrabber(where, container=container))


class FileSource:
    """A recording, read by FFmpeg in its own order and at the reader's speed. See Source.

    A packet that cannot be decoded is left out and counted. A file that ends before the frames its own index promises
    raises SourceError after its last good frame.
    """

    live = False
    dropped = 0
    names: Sequence[str] = ()

    def __init__(self, where: str | Path, *, container: Any = None) -> None:
        self.name = public_name(where)
        if isinstance(where, Path) and not where.is_file():
            problem = "it is a folder" if where.is_dir() else "no such file"
            raise SourceError(f"source {self.name}: {problem}, takes a video file, a camera index or a URL")
        self._container = open_container(where) if container is None else container
        self._stream = video_stream(self._container, self.name)
        self.audio = where if isinstance(where, Path) and self._container.streams.audio else None
        self.corrupt = 0
        self.metadata: Mapping[str, str] = {key.lower(): value for key, value in self._container.metadata.items()}
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.frame_rate = float(rate) if rate else None
        self.frame_count = self._stream.frames or None
        try:
            # The first frame tells what the header may not: whether anything decodes, and which way is up.
            self._frames = self._decode()
            self._first = next(self._frames, None)
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise SourceError(f"source {self.name}: holds no frame that can be decoded, takes a video")
        height, width = self._first.image.shape[:2]
        self.size = (width, height)
        aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        coded = (self._stream.codec_context.width, self._stream.codec_context.height)
        self.pixel_aspect = aspect if coded == self.size else 1 / aspect

    def __iter__(self) -> Iterator[VideoFrame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._frames

    def close(self) -> None:
        """Closes the file; iterating ends."""
        self._container.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self) -> Iterator[VideoFrame]:
        import av

        packets = self._container.demux(self._stream)
        size: tuple[int, int] | None = None
        count = good = in_a_row = 0
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                raise SourceError(f"source {self.name}: broke off after {good} frames ({error.strerror})") from None
            if packet is None:
                break
            count += packet.size > 0
            try:
                decoded = packet.decode()
                in_a_row = 0
            except av.error.FFmpegError:
                decoded = []
                self.corrupt += 1
                in_a_row += 1
                if in_a_row > MAX_CORRUPT_PACKETS:
                    raise SourceError(
                        f"source {self.name}: gave up after {good} frames at {in_a_row} corrupt packets in a row"
                    ) from None
            for frame in decoded:
                image = to_bgr(frame, size)
                size = size or (image.shape[1], image.shape[0])
                time = frame.time if frame.time is not None else good / (self.frame_rate or 25.0)
                good += 1
                yield VideoFrame(image, float(time))
        if count < (self.frame_count or 0):
            raise SourceError(
                f"source {self.name}: is truncated, ends after {count} of {self.frame_count} frames; all that were "
                "there have been processed"
            )


def open_container(where: str | Path, *, options: dict[str, str] | None = None) -> Any:
    """FFmpeg's demuxer for a path or URL. Raises SourceError when it cannot be opened in OPEN_SECONDS."""
    import av

    try:
        return av.open(str(where), options=options or {}, timeout=(OPEN_SECONDS, STALL_SECONDS))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, av.error.ExitError):
            reason = f"no answer within {OPEN_SECONDS:g} s"
    raise SourceError(f"source {public_name(where)}: cannot be opened ({reason}), takes a video that FFmpeg can read")


def video_stream(container: Any, name: str) -> Any:
    """The first video stream, decoding in threads. Raises SourceError when there is none that can be decoded."""
    if not container.streams.video:
        container.close()
        raise SourceError(f"source {name}: holds no video stream, takes a video")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        container.close()
        raise SourceError(f"source {name}: is coded in an unknown way, takes a video that FFmpeg can read")
    stream.thread_type = "AUTO"
    if context.width * context.height > MAX_PIXELS:
        container.close()
        got = f"{context.width}x{context.height} px"
        raise SourceError(f"source {name}: got frames of {got}, takes at most {MAX_PIXELS} px in all")
    context.options = {"max_pixels": str(MAX_PIXELS)}  # what comes later in the stream may be larger than it began
    return stream


def to_bgr(frame: Any, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """One decoded frame as (H, W, 3) uint8 BGR: turned upright, and scaled to size (width, height) if that changed."""
    image = image_from_frame(frame)
    if frame.rotation:
        image = np.ascontiguousarray(np.rot90(image, k=round(frame.rotation / 90)))
    return image if size is None else resized(image, size)


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at size (width, height): some sources change it on the way, a file cannot."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def public_name(where: str | Path) -> str:
    """The source as it may stand in a message: without the user name and password a URL may carry."""
    return re.sub(r"(?<=://)[^/@]*@", "", str(where))
