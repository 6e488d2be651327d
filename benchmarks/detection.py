"""How often a stream's detector is asked, and what that saves.

    python -m benchmarks.detection --publish                                 half a minute, machine idle
    python -m benchmarks.detection --frames 9 --output /tmp/detection.json   whether it works

Three scenes of 1280x720: an empty room before a still camera, the same with a camera's noise, and the demo's clip, in
which everything moves; there also the detector's first look alone. Times are of detection alone, one thread, mean over
the frames. Writes benchmarks/results/detection.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.missed_faces import OneLook
from benchmarks.report import add_options, write
from benchmarks.speed.timing import machine
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import Detector, StillSceneDetector, YuNetDetector
from mfm_edge.types import Face
from mfm_edge.video import open_source

NAME = "detection"
SIZE = (1280, 720)

Picture = NDArray[np.uint8]


class Counted:
    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.calls = 0

    def detect(self, frame: Picture) -> tuple[Face, ...]:
        self.calls += 1
        return self._detector.detect(frame)


def empty(noise: float) -> Iterator[Picture]:
    rng = np.random.default_rng(0)
    room = cv2.resize(rng.uniform(40, 200, (9, 16, 3)), SIZE, interpolation=cv2.INTER_CUBIC)
    while True:
        yield np.clip(room + (rng.normal(0, noise, room.shape) if noise else 0), 0, 255).astype(np.uint8)


def demo() -> Iterator[Picture]:
    with open_source(CLIP) as source:
        images = [cv2.resize(frame.image, SIZE) for frame in source]
    return cycle(images)


def measure(detector: Detector, frames: list[Picture]) -> float:
    """ms a frame."""
    times = []
    for frame in frames:
        started = time.perf_counter()
        detector.detect(frame)
        times.append(time.perf_counter() - started)
    return statistics.fmean(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=160)
    add_options(parser, NAME)
    options = parser.parse_args()
    yunet, one_look = YuNetDetector(threads=1), OneLook(threads=1)
    result: dict[str, dict[str, float]] = {}
    for name, scene in (("empty", empty(0)), ("empty, noise 2", empty(2)), ("all moves", demo())):
        frames = list(islice(scene, options.frames))
        counted = Counted(yunet)
        spared = StillSceneDetector(counted)
        measure(yunet, frames[:5])
        measure(one_look, frames[:5])
        result[name] = {
            "always_ms": round(measure(yunet, frames), 2),
            "spared_ms": round(measure(spared, frames), 2),
            "one_look_ms": round(measure(one_look, frames), 2),
            "asked": round(counted.calls / len(frames), 3),
        }
        print(name, result[name], flush=True)
    write(options, NAME, {**machine(), "frames": options.frames, "scenes": result}, tell)


def tell(result: Mapping[str, Any]) -> str:
    scenes = "; ".join(
        f"{name}: {row['asked']:.0%} of the frames, {row['spared_ms'] / row['always_ms']:.2f} times the time"
        for name, row in result["scenes"].items()
    )
    moving = result["scenes"]["all moves"]
    return (
        f"How often the detector is asked ({result['frames']} frames of 1280x720, one thread), beside asking always:\n"
        f"{scenes}.\nBoth looks take {moving['always_ms'] / moving['one_look_ms']:.2f} times as "
        "long as the first alone. Written by `python -m benchmarks.detection --publish`."
    )


if __name__ == "__main__":
    main()
