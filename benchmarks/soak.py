"""Real clips through the live path for a long time: is memory flat, and every face protected in every frame?

    python -m benchmarks.soak --minutes 60 --judge ../shared/models/sface_2021dec.fp16.pt

A camera plays the clips in a loop; the stream is recorded, and every frame that leaves is compared with the one the
camera took. MTCNN, which has no part in protecting, looks for faces in the original. Of each that it finds

- the picture must have changed: less than 2 grey levels (mean, middle of its box) is "unprotected";
- with --judge (SFace as TorchScript, needs torch), what stands there now must not match it: "recognised" otherwise.

Where MTCNN takes something else for a face, that counts, too: look at what --keep leaves. Checking takes longer than
protecting, so the live source drops frames, as it shall. Memory counts from a tenth of the time on.
Writes benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clip_camera import ClipCamera, number_in
from benchmarks.judge import SAME_PERSON, Embed, open_judge
from mfm_edge import Face, Factors, MfmRuntime
from mfm_edge.detect import MtcnnDetector
from mfm_edge.pipeline import Monitor, Summary, anonymize_video
from mfm_edge.video.live import LiveSource

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "soak.json"
UNCHANGED = 2.0
FLAT = 0.05

Picture = NDArray[np.uint8]


class Inspector:
    """Compares each frame that leaves with the one that the camera took. A viewer in the sense of mfm_edge.pipeline."""

    def __init__(self, camera: ClipCamera, *, min_face: int, judge: Embed | None, keep: Path | None) -> None:
        self._camera, self._judge, self._keep = camera, judge, keep
        self._detector = MtcnnDetector(min_face=min_face, score=0.9)
        self.counts = dict.fromkeys(("frames", "covered_whole", "too_late", "faces", "unprotected", "recognised"), 0)

    def show(self, image: Picture) -> bool:
        self.counts["frames"] += 1
        number = number_in(image)
        if number is None:  # an incident covered the whole of it, its number, too
            self.counts["covered_whole"] += 1
            return True
        taken = self._camera.taken.get(number)
        if taken is None:
            self.counts["too_late"] += 1
            return True
        original = taken.image
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
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clips", type=Path, default=ROOT.parent / "shared" / "data" / "videos")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, frames a second")
    parser.add_argument("--min-face", type=int, default=60, help="smallest that MTCNN looks for, px (default: 60)")
    parser.add_argument("--judge", type=Path, help="SFace as TorchScript")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for pictures of what was found")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    runtime, memory = MfmRuntime(), Memory()
    clips = sorted(options.clips.glob("*.mp4"))
    camera = ClipCamera(clips, size=tuple(options.size), rate=options.rate, seconds=60 * options.minutes)
    judge = None if options.judge is None else open_judge(options.judge)
    inspector = Inspector(camera, min_face=options.min_face, judge=judge, keep=options.keep)
    with tempfile.TemporaryDirectory() as folder, LiveSource(camera) as source:
        output = Path(folder) / "out.mp4"
        done = anonymize_video(
            runtime,
            source,
            Factors("soak"),
            output=output,
            sidecar=output.with_suffix(".jsonl"),
            monitor=Monitor(progress=memory.sample, viewers=(inspector,)),
        )
        dropped = source.dropped
    result = {
        "minutes": options.minutes,
        "clips": len(clips),
        "camera": {"size": options.size, "rate": options.rate},
        "cores": os.cpu_count(),
        "provider": runtime.provider,
        "model_id": runtime.model_id,
        "judge": None if options.judge is None else options.judge.name,
        "min_face": options.min_face,
        "dropped": dropped,
        "incidents": done.incidents,
        "checked": inspector.counts,
        "memory": memory.summary(),
    }
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
