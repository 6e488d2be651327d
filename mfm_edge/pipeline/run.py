"""What both directions share: frames from the source through a conversion into the file and to the viewers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.runtime import MfmStream
from mfm_edge.types import MIN_FRAME_SIDE, FaceRecord, Treatment
from mfm_edge.video import Sink, Source, VideoFrame, open_sink
from mfm_edge.video.threads import WriteBehind, parallel, read_ahead

__all__ = ["Monitor", "Steps", "Summary", "Viewer", "check_size", "count_faces", "open_output", "run"]

_Found = TypeVar("_Found")
_Changed = TypeVar("_Changed")


@dataclass(slots=True, kw_only=True)
class Summary:
    """What was done.

    faces: faces in all frames together; covered: those pixelated instead of replaced; incidents: see Protected.
    visible: faces that a selection left as they are. detected_again: restored frames without a record of their own.
    seconds: wall clock from the first frame to the closed file. notices: what could not be done as asked. stopped:
    whether the user ended it.
    """

    frames: int = 0
    faces: int = 0
    covered: int = 0
    incidents: int = 0
    visible: int = 0
    detected_again: int = 0
    seconds: float = 0.0
    notices: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0


class Viewer(Protocol):
    """Shows frames while they are made: a window, a virtual camera, a page in the browser."""

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Takes a (H, W, 3) uint8 BGR frame as it leaves, which nobody changes afterwards. False ends the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What is told while a video is processed, and asked whether to stop. Called after every frame.

    progress: gets the counts so far. opened: gets the stream before the first frame, only while anonymising.
    """

    progress: Callable[[Summary], object] = lambda summary: None
    stop: Callable[[], bool] = lambda: False
    viewers: Sequence[Viewer] = ()
    opened: Callable[[MfmStream], object] = lambda stream: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Generic[_Found, _Changed]):
    """What is done to each frame. find: in order; change: to several frames of a file at a time; finish: in order,
    gives the frame that leaves. The first two are on threads of their own where the source is a file."""

    find: Callable[[VideoFrame], _Found]
    change: Callable[[VideoFrame, _Found], _Changed]
    finish: Callable[[VideoFrame, _Changed], NDArray[np.uint8]]


def open_output(
    opened: ExitStack, source: Source, output: Path | None, crf: int, audio: bool, comment: str | None
) -> Sink | None:
    if output is None:
        return None
    return opened.enter_context(
        open_sink(
            output,
            size=source.size,
            frame_rate=source.frame_rate,
            crf=crf,
            audio_from=source.audio if audio else None,
            pixel_aspect=source.pixel_aspect,
            comment=comment,
            names=source.names,
        )
    )


def run(
    source: Source,
    steps: Steps[_Found, _Changed],
    summary: Summary,
    sink: Sink | None,
    monitor: Monitor,
    *,
    workers: int,
) -> None:
    """Converts every frame of the source, writes and shows it, until the source ends or the user does.

    workers: how many frames of a file are changed at a time.
    """
    started = time.perf_counter()

    def begun(frame: VideoFrame) -> tuple[VideoFrame, _Found]:
        return frame, steps.find(frame)

    def changed(begun: tuple[VideoFrame, _Found]) -> tuple[VideoFrame, _Changed]:
        frame, found = begun
        return frame, steps.change(frame, found)

    with ExitStack() as opened:
        behind = None if sink is None else opened.enter_context(WriteBehind(sink.write))
        if source.live:  # it drops what is late; frames at the same time would each be later
            results = (changed(begun(frame)) for frame in source)
        else:
            frames = opened.enter_context(closing(read_ahead(source)))
            results = parallel(changed, map(begun, frames), workers, depth=workers + 1)
        for frame, result in opened.enter_context(closing(results)):
            image = steps.finish(frame, result)
            if behind is not None:
                behind.put(image, frame.time)
            summary.frames += 1
            monitor.progress(summary)
            shown = [viewer.show(image) for viewer in monitor.viewers]
            if not all(shown) or monitor.stop():
                summary.stopped = True
                break
    if sink is not None:
        if not summary.stopped:
            sink.finish_audio()
        sink.close()
        summary.notices += tuple(sink.notices)
    summary.seconds = time.perf_counter() - started


def check_size(source: Source) -> None:
    """Raises ArgumentError for a source whose frames are too small."""
    if min(source.size) < MIN_FRAME_SIDE:
        width, height = source.size
        raise ArgumentError(
            f"source {source.name}: got frames of {width}x{height} px, takes both sides >= {MIN_FRAME_SIDE}"
        )


def count_faces(summary: Summary, faces: tuple[FaceRecord, ...]) -> None:
    """Adds a frame's faces to the summary."""
    summary.faces += len(faces)
    summary.covered += sum(face.treatment is Treatment.COVERED for face in faces)
