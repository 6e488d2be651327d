"""A camera for benchmarks: plays clips in a loop and in real time, and tells later which frame it was; and the live
path behind it."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.timing import machine
from mfm_edge import Factors, MfmRuntime
from mfm_edge.pipeline import Monitor, anonymize_video
from mfm_edge.video import open_source
from mfm_edge.video.live import LiveSource

__all__ = ["ClipCamera", "Taken", "add_clips", "add_options", "number_in", "protect"]

_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"

_CELL, _BITS = 16, 24  # px a side; frames are counted up to 16 million
_KEPT = 64


@dataclass(frozen=True)
class Taken:
    """A frame as the camera took it. time: s, monotonic clock. image: (H, W, 3) uint8 BGR."""

    time: float
    image: NDArray[np.uint8]


class ClipCamera:
    """A Grabber (mfm_edge.video.live) of `size` (width, height) px at `rate` frames a second, for `seconds`.

    Clips are fitted into the size with black borders. Every frame has its number in black and white cells in its lower
    left corner: `number_in` reads it, whatever codec came between. `taken` holds the last 64 frames by number.
    """

    corrupt = 0

    def __init__(self, clips: Sequence[Path], *, size: tuple[int, int], rate: float, seconds: float) -> None:
        self.name = f"{len(clips)} clips in a loop"
        self.frame_rate: float | None = rate
        self._rate = rate
        self.taken: OrderedDict[int, Taken] = OrderedDict()
        self.size, self._seconds = size, seconds
        self._images = self._play(clips)
        self._started: float | None = None
        self._count = 0

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame when it is due."""
        if self._count / self._rate > self._seconds:
            return None
        image = next(self._images)
        self._started = time.monotonic() if self._started is None else self._started
        time.sleep(max(0.0, self._started + self._count / self._rate - time.monotonic()))
        _write_number(image, self._count)
        self.taken[self._count] = Taken(time.monotonic(), image)
        if len(self.taken) > _KEPT:
            self.taken.popitem(last=False)
        self._count += 1
        return image

    def close(self) -> None:
        """Ends the clip that is open."""
        self._images.close()

    def _play(self, clips: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
        for clip in cycle(clips):
            with open_source(clip) as source:
                for frame in source:
                    yield _fitted(frame.image, self.size)


def add_clips(parser: argparse.ArgumentParser) -> None:
    """--clips, a folder that becomes the list of its .mp4 files."""
    parser.add_argument("--clips", type=_clips_in, default=str(_CLIPS), metavar="FOLDER")


def _clips_in(folder: str) -> list[Path]:
    if not (found := sorted(Path(folder).glob("*.mp4"))):
        raise argparse.ArgumentTypeError(f"no .mp4 in {folder}")
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, frames a second")


def protect(runtime: MfmRuntime, camera: ClipCamera, monitor: Monitor) -> dict[str, Any]:
    """Anonymises what a camera takes, recording it as a user would, until it ends. Gives the counts, ready for JSON."""
    with tempfile.TemporaryDirectory() as folder, LiveSource(camera) as source:
        output = Path(folder) / "out.mp4"
        sidecar = output.with_suffix(".jsonl")
        done = anonymize_video(runtime, source, Factors("benchmark"), output=output, sidecar=sidecar, monitor=monitor)
        return {
            **machine(),
            "provider": runtime.provider,
            "model_id": runtime.model_id,
            "camera": {"size": camera.size, "rate": camera.frame_rate},
            "frames": done.frames,
            "faces": done.faces,
            "incidents": done.incidents,
            "dropped": source.dropped,
        }


def number_in(image: NDArray[np.uint8]) -> int | None:
    """The number that a frame bears; None where it was covered."""
    height = image.shape[0]
    cells = image[height - _CELL :, : _CELL * (_BITS + 2)].reshape(_CELL, _BITS + 2, _CELL, 3)
    bright = cells[4:-4, :, 4:-4].mean(axis=(0, 2, 3)) > 127
    if not bright[0] or bright[1]:  # a white and a black cell come first
        return None
    return int((bright[2:] << np.arange(_BITS)).sum())


def _write_number(image: NDArray[np.uint8], number: int) -> None:
    bits = np.concatenate([[1, 0], (number >> np.arange(_BITS)) & 1])
    cells = np.repeat(bits * 255, _CELL).astype(np.uint8)
    image[-_CELL:, : len(cells)] = cells[None, :, None]


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = round(image.shape[1] * scale), round(image.shape[0] * scale)
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    whole[y : y + height, x : x + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return whole
