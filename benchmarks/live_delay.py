"""How long a live frame takes from the camera to the glass.

    python -m benchmarks.live_delay --publish                                      forty seconds, machine idle
    python -m benchmarks.live_delay --seconds 6 --output /tmp/live_delay.json      whether it works

A camera that plays the demo's clip in real time at 1280x720; the stream is recorded, shown by a viewer and served to a
browser, which stands at the other end of a real connection and decodes what it gets. Each frame bears a number, so that
its delay is known: from the moment the camera hands it over to the viewer's call, and to the decoded picture in the
browser. The camera's own exposure and the screen's refresh are not in it.

Writes benchmarks/results/live_delay.json.
"""

from __future__ import annotations

import argparse
import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import clip_camera, report
from benchmarks.clip_camera import ClipCamera, number_in, protect
from benchmarks.speed.timing import where
from mfm_edge import MfmRuntime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.live_view import LiveView
from mfm_edge.pipeline import Monitor

NAME = "live_delay"
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
    clip_camera.add_options(parser)
    parser.add_argument("--providers", nargs="+")
    report.add_options(parser, NAME)
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
    counts = protect(runtime, camera, Monitor(viewers=(viewer, view)))
    view.close()
    result = {
        "goal_ms": GOAL_MS,
        "seconds": options.seconds,
        **counts,
        "viewer": viewer.summary(),
        "browser": browser.summary(),
    }
    report.write(options, NAME, result, tell)


def tell(result: Mapping[str, Any]) -> str:
    width, height = result["camera"]["size"]
    viewer, browser = result["viewer"], result["browser"]
    return (
        f"A live {width}x{height} frame with one face reaches the viewer {viewer['median_ms']:.0f} ms after the camera "
        f"gave it (95 %:\n{viewer['p95_ms']:.0f} ms; goal {result['goal_ms']} ms) and the browser after "
        f"{browser['median_ms']:.0f} ms, at {viewer['frames_per_second']:.1f} of {result['camera']['rate']:g} frames a "
        f"second, on {where(result)},\nnetwork {result['model_id']}. "
        "Written by `python -m benchmarks.live_delay --publish`."
    )


if __name__ == "__main__":
    main()
