"""Real clips through the live path for a long time: is memory flat, and every face protected in every frame?

    python -m benchmarks.soak --judge ../shared/models/sface_2021dec.fp16.pt --publish    an hour, machine idle
    python -m benchmarks.soak --minutes 0.2 --output /tmp/soak.json                       whether it works

A camera plays the clips in a loop; the stream is recorded, and every frame that leaves is compared with the one the
camera took. MTCNN, which has no part in protecting, looks for faces in the original. Of each that it finds

- the picture must have changed: less than 2 grey levels (mean, middle of its box) is "unprotected";
- with --judge (SFace as TorchScript, needs torch), what stands there now must not match it: "recognised" otherwise.

Where MTCNN takes something else for a face, that counts, too: look at what --keep leaves. Checking takes longer than
protecting, so the live source drops frames, as it shall; it is done by another process, whose memory does not count.
Memory counts from a tenth of the time on, the camera's last 64 frames with it, which are kept for comparing.
Writes benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import clip_camera, report
from benchmarks.clip_camera import ClipCamera, number_in, protect
from benchmarks.judge import SAME_PERSON, Embed, open_judge
from mfm_edge import Face, MfmRuntime
from mfm_edge.detect import MtcnnDetector
from mfm_edge.pipeline import Monitor, Summary

NAME = "soak"
UNCHANGED = 2.0
FLAT = 0.05

Picture = NDArray[np.uint8]


class Checker:
    """Compares frames as they left with those that the camera took, and counts what it finds."""

    def __init__(self, *, min_face: int, judge: Path | None, keep: Path | None) -> None:
        self._judge, self._keep = None if judge is None else open_judge(judge), keep
        self._detector = MtcnnDetector(min_face=min_face, score=0.9)
        self.counts = dict.fromkeys(("faces", "unprotected", "recognised"), 0)

    def check(self, number: int, original: Picture, image: Picture) -> None:
        """number: of the frame, for the names of pictures."""
        for face in self._detector.detect(original):
            self.counts["faces"] += 1
            unprotected = changed(original, image, face) < UNCHANGED
            recognised = self._judge is not None and likeness(self._judge, original, image, face) >= SAME_PERSON
            self.counts["unprotected"] += unprotected
            self.counts["recognised"] += recognised
            if self._keep is not None and (unprotected or recognised):
                beside = np.hstack([original, image])
                cv2.rectangle(beside, *(tuple(map(int, corner)) for corner in face.box.reshape(2, 2)), (0, 0, 255), 2)
                kind = "unprotected" if unprotected else "recognised"
                cv2.imwrite(str(self._keep / f"{number}-{kind}.jpg"), beside)


class CheckerElsewhere:
    """A Checker in a process of its own, whose memory is not what is measured here. Takes a frame when it has done with
    the one before. A context manager."""

    def __init__(self, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_check_what_comes, args=(there, options), daemon=True)
        self._process.start()
        there.close()
        self._counts: dict[str, int] | None = None  # while it is at work

    @property
    def counts(self) -> dict[str, int]:
        """See Checker. Waits for the frame at hand. Raises EOFError when the process has ended."""
        if self._counts is None:
            self._counts = self._here.recv()
        return self._counts

    def check(self, number: int, original: Picture, image: Picture) -> None:
        """See Checker."""
        _ = self.counts  # the one before is done
        self._here.send((number, original, image))
        self._counts = None

    def __enter__(self) -> CheckerElsewhere:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError, EOFError):
            _ = self.counts
            self._here.send(None)
        self._process.join()


def _check_what_comes(connection: Connection, options: Mapping[str, Any]) -> None:
    checker = Checker(**options)
    connection.send(checker.counts)
    while (task := connection.recv()) is not None:
        checker.check(*task)
        connection.send(checker.counts)


class Inspector:
    """Hands each frame that leaves to a checker, with the one that the camera took. A viewer in the sense of
    mfm_edge.pipeline."""

    def __init__(self, camera: ClipCamera, checker: Checker | CheckerElsewhere) -> None:
        self._camera, self._checker = camera, checker
        self._counts = dict.fromkeys(("frames", "covered_whole", "too_late"), 0)

    @property
    def counts(self) -> dict[str, int]:
        return self._counts | self._checker.counts

    def show(self, image: Picture) -> bool:
        self._counts["frames"] += 1
        number = number_in(image)
        if number is None:  # an incident covered the whole of it, its number, too
            self._counts["covered_whole"] += 1
        elif (taken := self._camera.taken.get(number)) is None:
            self._counts["too_late"] += 1
        else:
            self._checker.check(number, taken.image, image)
        return True


def changed(original: Picture, image: Picture, face: Face) -> float:
    """Mean change in grey levels of the middle of a face."""
    middle, half = (face.box[:2] + face.box[2:]) / 2, (face.box[2:] - face.box[:2]) / 4
    x0, y0 = np.maximum(middle - half, 0).astype(int)
    x1, y1 = (middle + half).astype(int) + 1
    return float(cv2.absdiff(original[y0:y1, x0:x1], image[y0:y1, x0:x1]).mean())


def likeness(judge: Embed, original: Picture, image: Picture, face: Face) -> float:
    return float(judge(original, face.landmarks) @ judge(image, face.landmarks))


class Memory:
    """Resident memory over time, MB."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    def sample(self, _summary: Summary) -> None:
        now = time.monotonic()
        if not self.samples or now - self.samples[-1][0] >= 1.0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.samples.append((now, pages * resource.getpagesize() / 1e6))

    def summary(self) -> dict[str, object]:
        times, sizes = np.array(self.samples).T
        counted = times >= times[0] + 0.1 * (times[-1] - times[0])
        tenth = max(1, int(counted.sum()) // 10)
        before, after = sizes[counted][:tenth].mean(), sizes[counted][-tenth:].mean()
        return {
            "least_mb": round(float(sizes[counted].min()), 1),
            "most_mb": round(float(sizes[counted].max()), 1),
            "growth": round(float(after / before - 1), 4),
            "flat": bool(abs(after / before - 1) <= FLAT),
            # Steps are what happened once, a slope is a leak.
            "each_tenth_mb": [round(float(part.mean()), 1) for part in np.array_split(sizes, 10) if len(part)],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    clip_camera.add_clips(parser)
    clip_camera.add_options(parser)
    parser.add_argument("--min-face", type=int, default=60, help="smallest that MTCNN looks for, px (default: 60)")
    parser.add_argument("--judge", type=Path, help="SFace as TorchScript")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for pictures of what was found")
    report.add_options(parser, NAME)
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    runtime, memory = MfmRuntime(), Memory()
    camera = ClipCamera(options.clips, size=tuple(options.size), rate=options.rate, seconds=60 * options.minutes)
    with CheckerElsewhere(min_face=options.min_face, judge=options.judge, keep=options.keep) as checker:
        inspector = Inspector(camera, checker)
        done = protect(runtime, camera, Monitor(progress=memory.sample, viewers=(inspector,)))
    result = {
        "minutes": options.minutes,
        "clips": len(options.clips),
        **done,
        "judge": None if options.judge is None else options.judge.name,
        "min_face": options.min_face,
        "checked": inspector.counts,
        "memory": memory.summary() | {"camera_mb": round(sum(t.image.nbytes for t in camera.taken.values()) / 1e6, 1)},
    }
    report.write(options, NAME, result, tell)


def tell(result: Mapping[str, Any]) -> str:
    checked, memory = result["checked"], result["memory"]
    recognised = f", and a recogniser matched {checked['recognised']} to who was there" if result["judge"] else ""
    return (
        f"{result['minutes']:g} minutes of {result['clips']} real clips through the live path, network "
        f"{result['model_id']}: of {checked['faces']} faces that MTCNN found in\n{checked['frames']} frames, "
        f"{checked['unprotected']} were left as they were{recognised};\n{result['incidents']} incidents; memory "
        f"{memory['least_mb']:.0f} to {memory['most_mb']:.0f} MB,\n{memory['growth']:+.1%} from begin to end (goal "
        f"within 5 %), {memory['camera_mb']:.0f} of it frames that the camera keeps for comparing. Written by\n"
        "`python -m benchmarks.soak --publish`."
    )


if __name__ == "__main__":
    main()
