"""How long a live frame takes from the camera to the glass: python -m benchmarks.live_delay

A camera that plays the demo's clip in real time at 1280x720; the stream is recorded, shown by a viewer and served to a
browser, which stands at the other end of a real connection and decodes what it gets. Each frame bears a number, so that
its delay is known: from the moment the camera hands it over to the viewer's call, and to the decoded picture in the
browser. The camera's own exposure and the screen's refresh are not in it.

Needs an idle machine. Writes benchmarks/results/live_delay.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clip_camera import ClipCamera, number_in
from mfm_edge import Factors, MfmRuntime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.live_view import LiveView
from mfm_edge.pipeline import Monitor, anonymize_video
from mfm_edge.video.live import LiveSource

RESULT = Path(__file__).parent / "results" / "live_delay.json"
GOAL_MS = 120
WARM_UP = 2.0  # s that do not count


class Delays:
    """When frames of a camera were seen. A viewer in the sense of mfm_edge.pipeline."""

    def __init__(self, camera: ClipCamera) -> None:
        self._camera = camera
        self.found: list[tuple[float, float]] = []

    def show(self, image: NDArray[np.uint8]) -> bool:
        now, number = time.monotonic(), number_in(image)
        taken = None if number is None else self._camera.taken.get(number)
        if taken is not None:
            self.found.append((now, now - taken.time))
        return True

    def summary(self) -> dict[str, float]:
        first = self.found[0][0]
        counted = [(when, delay * 1000) for when, delay in self.found if when > first + WARM_UP]
        delays = [delay for _, delay in counted]
        return {
            "median_ms": round(float(np.median(delays)), 1),
            "p95_ms": round(float(np.percentile(delays, 95)), 1),
            "most_ms": round(max(delays), 1),
            "frames_per_second": round((len(counted) - 1) / (counted[-1][0] - counted[0][0]), 1),
        }


def pictures(port: int) -> Iterator[NDArray[np.uint8]]:
    """What a browser shows, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    while line := answer.readline():
        if line.lower().startswith(b"content-length"):
            answer.readline()
            jpeg = answer.read(int(line.split(b":")[1]))
            yield np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, frames a second")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--providers", nargs="+")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    runtime = MfmRuntime(providers=options.providers)
    camera = ClipCamera([CLIP], size=tuple(options.size), rate=options.rate, seconds=options.seconds)
    viewer, browser = Delays(camera), Delays(camera)
    view = LiveView("127.0.0.1", 0, attributes={})

    def browse() -> None:
        with suppress(OSError):
            for image in pictures(view.port):
                browser.show(image)

    Thread(target=browse, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, LiveSource(camera) as source:
        output = Path(folder) / "out.mp4"
        done = anonymize_video(
            runtime,
            source,
            Factors("benchmark"),
            output=output,
            sidecar=output.with_suffix(".jsonl"),
            monitor=Monitor(viewers=(viewer, view)),
        )
        dropped = source.dropped
    view.close()
    result = {
        "goal_ms": GOAL_MS,
        "camera": {"size": options.size, "rate": options.rate, "seconds": options.seconds},
        "cores": os.cpu_count(),
        "provider": runtime.provider,
        "model_id": runtime.model_id,
        "frames": done.frames,
        "faces": done.faces,
        "dropped": dropped,
        "viewer": viewer.summary(),
        "browser": browser.summary(),
    }
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
