"""What a frame's time goes into: one face in 720p, stage after stage as the pipeline runs them, one at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.speed.timing import Timing, take_turns
from mfm_edge.align import align
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.choose import open_engine
from mfm_edge.factors import ATTRIBUTES
from mfm_edge.paste import paste
from mfm_edge.style import expand
from mfm_edge.track import Tracker
from mfm_edge.video import FileSink, open_source

__all__ = ["time_stages"]

SIZE = (1280, 720)


def time_stages(rounds: int) -> dict[str, Timing]:
    """ms a frame by stage; the network on the CPU in ONNX Runtime."""
    with open_source(CLIP) as source:
        frame = np.ascontiguousarray(cv2.resize(next(iter(source)).image, SIZE, interpolation=cv2.INTER_CUBIC))
    detector, tracker, engine = YuNetDetector(), Tracker(), open_engine(providers=["CPU"])
    key = expand(bytes(32), np.zeros(len(ATTRIBUTES), np.float32))
    faces = detector.detect(frame)
    cut = align(frame, faces[0])
    surrogate = engine.modify(cut.crop[None], [key]).faces[0]
    shown = frame.copy()
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "in.mp4"
        with FileSink(video, size=SIZE, frame_rate=25) as sink:
            for index in range(25):
                sink.write(np.roll(frame, index, axis=1), index / 25)
        with FileSink(Path(name) / "out.mp4", size=SIZE, frame_rate=25) as sink:
            stages: dict[str, Callable[[], object]] = {
                "decode": _decoder(video),
                "detect": lambda: detector.detect(frame),
                "track": lambda: tracker.update(faces, frame),
                "align": lambda: align(frame, faces[0]),
                "network": lambda: engine.modify(cut.crop[None], [key]),
                "paste": lambda: paste(shown, surrogate, cut.matrix),
                "encode": _encoder(sink, shown),
            }
            return take_turns(stages, rounds=rounds)


def _decoder(video: Path) -> Callable[[], object]:
    def frames():
        while True:
            with open_source(video) as source:
                yield from source

    endless = frames()
    return lambda: next(endless)


def _encoder(sink: FileSink, frame: np.ndarray) -> Callable[[], None]:
    count = 0

    def encode() -> None:
        nonlocal count
        sink.write(np.roll(frame, count, axis=1), count / 25)  # the roll is about a millisecond of it
        count += 1

    return encode
