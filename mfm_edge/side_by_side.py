"""Several versions of one video in one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from mfm_edge.errors import ArgumentError
from mfm_edge.video import FileSink, open_source
from mfm_edge.video.sources import resized

__all__ = ["side_by_side"]

_TITLE = 26  # px above the pictures
_WIDEST = 3840  # px of all pictures together: more is scaled down


def side_by_side(
    videos: Mapping[str, Path], output: Path, *, crf: int = 18, stop: Callable[[], bool] = lambda: False
) -> int:
    """Writes a video with the frames of several under their titles, from left to right, and gives its frame count.

    Frames are paired in order, it ends with the shortest and has the first one's times and no sound. Raises
    ArgumentError for less than two videos, SourceError when one cannot be read or the output cannot be written.
    """
    if len(videos) < 2:
        raise ArgumentError(f"videos: got {len(videos)}, takes two or more")
    count = 0
    with ExitStack() as opened:
        sources = [opened.enter_context(open_source(path)) for path in videos.values()]
        width, height = sources[0].size
        scale = min(1.0, _WIDEST / (width * len(sources)))
        size = (round(width * scale), round(height * scale))
        strip = np.full((_TITLE, size[0] * len(sources), 3), 255, np.uint8)
        for index, title in enumerate(videos):
            place = (index * size[0] + 6, _TITLE - 8)
            cv2.putText(strip, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        whole = (strip.shape[1], _TITLE + size[1])
        sink = opened.enter_context(FileSink(output, size=whole, frame_rate=sources[0].frame_rate, crf=crf))
        for frames in zip(*sources, strict=False):
            pictures = np.hstack([resized(frame.image, size) for frame in frames])
            sink.write(np.vstack([strip, pictures]), frames[0].time)
            count += 1
            if stop():
                break
    return count
