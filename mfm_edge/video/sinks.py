"""Where frames go: an H.264 file that plays even when the process was killed while writing it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.image import ENDINGS
from mfm_edge.types import check_frame
from mfm_edge.video.audio import AudioCopy
from mfm_edge.video.colour import BT601, LIMITED_RANGE, frame_from_image

__all__ = ["SUFFIXES", "FileSink", "Sink", "open_sink"]

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
"""File name endings that a sink takes."""

_TIME_BASE = Fraction(1, 90_000)  # holds 24, 25, 30, 50, 60 and 29.97 frames a second without rounding

_AUDIO_LEAD = 0.1  # s that sound is copied ahead: the muxer holds a picture back until the sound has passed it

_Self = TypeVar("_Self", bound="Sink")


class Sink(Protocol):
    """Where frames go. A context manager; a second `close` does nothing.

    write: one (H, W, 3) uint8 BGR frame, shown from `time` (s) on. finish_audio: copies the rest of the sound.
    notices: what could not be done as asked. All raise SourceError when the place cannot be written.
    """

    notices: list[str]

    def write(self, image: NDArray[np.uint8], time: float) -> None: ...

    def finish_audio(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_sink(
    path: Path,
    *,
    size: tuple[int, int],
    frame_rate: float | None,
    crf: int,
    audio_from: Path | None,
    pixel_aspect: Fraction,
    comment: str | None,
    names: Sequence[str] = (),
) -> Sink:
    """A video file, see FileSink, which tells the arguments; or pictures, see PictureSink, where the path ends like one
    or is a folder, or the frames have names and the path does not end like a video."""
    from mfm_edge.video.pictures import PictureSink

    if path.suffix.lower() in ENDINGS or path.is_dir() or (names and path.suffix.lower() not in SUFFIXES):
        return PictureSink(path, names=names)
    return FileSink(
        path,
        size=size,
        frame_rate=frame_rate,
        crf=crf,
        audio_from=audio_from,
        pixel_aspect=pixel_aspect,
        comment=comment,
    )


class FileSink:
    """Writes frames to an MP4, MOV or Matroska file. A context manager; a second `close` does nothing.

    size: (width, height) px of the frames. frame_rate: for players' information, the frames' own times count.
    crf: 0 (lossless) to 51; 18 and not x264's usual 23, because the surrogate face carries what restoring needs: what
    the codec drops is missing in the restored face.
    audio_from: a file whose first audio stream is copied as it is.
    pixel_aspect: width over height of one pixel. comment: a text kept in the file's own tags.

    Every frame is a fragment of its own, flushed at once: a killed process loses at most the frame at hand. `close`
    turns the fragments into an ordinary file. H.264 takes even sizes only: odd ones get one repeated row or column.
    `notices` says what could not be done as asked: another codec, audio left out.

    Raises ArgumentError for bad arguments, SourceError when the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int],
        frame_rate: float | None = None,
        crf: int = 18,
        audio_from: Path | None = None,
        pixel_aspect: Fraction = Fraction(1),
        comment: str | None = None,
    ) -> None:
        import av

        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ArgumentError(f"output: got {self.path.name!r}, takes a file name ending in {', '.join(SUFFIXES)}")
        if isinstance(crf, bool) or not isinstance(crf, int) or not 0 <= crf <= 51:
            raise ArgumentError(f"crf: got {crf!r}, takes an integer from 0 (lossless) to 51")
        self.notices: list[str] = []
        self._size = size
        self._last_pts: int | None = None
        self._closed = False
        self._failed = False
        try:
            self._container = av.open(str(self.path), "w", options=self._container_options())
        except (av.error.FFmpegError, OSError) as error:
            raise self._error(error) from None
        if comment is not None:
            self._container.metadata["comment"] = comment
        self._stream = self._add_stream(crf, frame_rate, pixel_aspect)
        self._audio = self._add_audio(audio_from)
        try:
            self._container.start_encoding()  # at once, so that a path that cannot be written is refused here
        except (av.error.FFmpegError, OSError) as error:
            if self._audio is not None:
                self._audio.close()
            raise self._error(error) from None

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Encodes one (H, W, 3) uint8 BGR frame of the sink's size, shown from `time` (s) on."""
        check_frame(image, name="image")
        width, height = self._size
        if image.shape[:2] != (height, width):
            raise ArgumentError(f"image: got {image.shape[1]}x{image.shape[0]} px, takes {width}x{height}")
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        pts = round(time / _TIME_BASE)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        frame = frame_from_image(image)
        frame.pts = pts
        frame.time_base = _TIME_BASE
        if self._audio is not None:
            self._copy_audio(float(pts * _TIME_BASE) + _AUDIO_LEAD)
        self._mux(frame)
        self._last_pts = pts

    def finish_audio(self) -> None:
        """Copies the rest of the audio, for a source that came to its end. Otherwise it stops with the last frame."""
        if self._audio is not None:
            self._copy_audio(None)

    def close(self) -> None:
        """Flushes the encoder and completes the file. After a write that failed it keeps what the disk took."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._mux(None)
            self._finish_container()
        finally:
            if self._audio is not None:
                self._audio.close()

    def __enter__(self) -> FileSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _container_options(self) -> dict[str, str]:
        if self.path.suffix.lower() == ".mkv":
            return {"flush_packets": "1", "cluster_time_limit": "0"}
        # A fragment a frame by its shortest duration, not by the flag frag_every_frame, which shifts times by a frame.
        # delay_moov: the header waits for the first packets, whose times may be below zero (audio priming).
        return {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1", "flush_packets": "1"}

    def _add_stream(self, crf: int, frame_rate: float | None, pixel_aspect: Fraction) -> Any:
        import av

        rate = Fraction(frame_rate or 25).limit_denominator(1001)
        if "libx264" in av.codecs_available:
            # zerolatency: no frame waits in the encoder, or a killed process would lose it. superfast: as exact as
            # veryfast (44.5 dB at crf 18 on real 720p), for 0.7 of its processor time and 1.2 of its bytes.
            # x264 takes bits from what is rough, such as surrogates, and from colour. Without that three clips were
            # restored at 35.4, 35.7 and 28.3 dB instead of 35.0, 35.5 and 26.3, from files 0.83 to 1.02 times as large
            # (network of step 22,644).
            options = {"crf": str(crf), "preset": "superfast", "tune": "zerolatency"}
            options["x264-params"] = "aq-mode=0:chroma-qp-offset=-4"
            stream = self._container.add_stream("libx264", rate=rate, options=options)
        else:
            self.notices.append(
                "this PyAV has no H.264 encoder (libx264): writing MPEG-4 part 2 (mp4v), larger and less exact"
            )
            stream = self._container.add_stream("mpeg4", rate=rate, options={"qmin": "2", "qmax": "3"})
        context = stream.codec_context
        context.width = self._size[0] + self._size[0] % 2
        context.height = self._size[1] + self._size[1] % 2
        context.pix_fmt = "yuv420p"
        context.time_base = _TIME_BASE if stream.codec_context.name == "libx264" else Fraction(1, 60_000)
        context.sample_aspect_ratio = pixel_aspect
        context.colorspace = context.color_primaries = context.color_trc = BT601
        context.color_range = LIMITED_RANGE
        return stream

    def _add_audio(self, audio_from: Path | None) -> AudioCopy | None:
        if audio_from is None:
            return None
        try:
            return AudioCopy(audio_from, self._container)
        except SourceError as error:
            self.notices.append(f"audio left out: {error}")
            return None

    def _mux(self, frame: Any) -> None:
        import av

        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            self._failed = True
            raise self._error(error) from None

    def _copy_audio(self, until: float | None) -> None:
        import av

        assert self._audio is not None
        try:
            self._audio.copy(until)
        except SourceError as error:  # the sound broke, the pictures go on
            self.notices.append(f"audio ends early: {error}")
            self._audio.close()
            self._audio = None
        except (av.error.FFmpegError, OSError) as error:
            self._failed = True
            raise self._error(error) from None

    def _finish_container(self) -> None:
        import av

        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            if not self._failed:
                raise self._error(error) from None
            with suppress(av.error.FFmpegError, OSError):
                self._container.close()

    def _error(self, error: Exception) -> SourceError:
        reason = getattr(error, "strerror", None) or str(error)
        return SourceError(f"output {self.path}: cannot be written ({reason})")
