"""How often a stream's detector is asked, and what that saves: python -m benchmarks.detection

Three scenes of 1280x720: an empty room before a still camera, the same with a camera's noise, and the demo's clip, in
which everything moves. Times are of detection alone, one thread, mean over the frames. Needs an idle machine. Writes
benchmarks/results/detection.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import Detector, StillSceneDetector, YuNetDetector
from mfm_edge.types import Face
from mfm_edge.video import open_source

RESULT = Path(__file__).parent / "results" / "detection.json"
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
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    yunet = YuNetDetector(threads=1)
    result: dict[str, dict[str, float]] = {}
    for name, scene in (("empty", empty(0)), ("empty, noise 2", empty(2)), ("all moves", demo())):
        frames = list(islice(scene, options.frames))
        counted = Counted(yunet)
        spared = StillSceneDetector(counted)
        measure(yunet, frames[:5])
        result[name] = {
            "always_ms": round(measure(yunet, frames), 2),
            "spared_ms": round(measure(spared, frames), 2),
            "asked": round(counted.calls / len(frames), 3),
        }
        print(name, result[name], flush=True)
    options.output.write_text(json.dumps({"frames": options.frames, "scenes": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
