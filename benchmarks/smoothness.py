"""How steady protected video is, on real clips, beside the same frames without tracking.

    python -m benchmarks.smoothness --judge ../shared/models/sface_2021dec.fp16.pt --publish    ten minutes
    python -m benchmarks.smoothness --frames 5 --output /tmp/smoothness.json                    whether it works

For the largest face of each clip and both ways, a stream and frame by frame:

flicker: frame-to-frame difference of the protected picture over that of the original, in the face's region, all
    frames together. 1 is as restless as the camera's own picture.
crop_shift: px of 128 by which the face moves within its crop from frame to frame, root mean square, measured by phase
    correlation of the original crops (the tracker measures otherwise). 0 sticks to the face.
tracks: numbers given to the largest face; 1 where one person is seen without a cut.
blinks: changes between surrogate and cover. bare: frames without any protected face between frames with one.
same_person: share of neighbouring frames, and of frames a second apart, whose surrogates the judge takes for one
    person, within one track. Only with --judge, a TorchScript file of SFace (needs torch).

Writes benchmarks/results/smoothness.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clip_camera import add_clips
from benchmarks.judge import SAME_PERSON, Embed, open_judge
from benchmarks.report import add_options, write
from mfm_edge import FaceRecord, Factors, MfmRuntime, Protected, Treatment
from mfm_edge.align import TEMPLATE, extract, frame_region, invert
from mfm_edge.detect import YuNetDetector
from mfm_edge.video import open_source

NAME = "smoothness"
FACTORS = Factors("benchmark")

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """One frame of one way: the picture that left and its largest face, None where there was none."""

    picture: Picture
    face: FaceRecord | None


def shown(protected: Protected) -> Shown:
    face = max(protected.faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])), default=None)
    return Shown(protected.frame, face)


def restlessness(originals: Sequence[Picture], run: Sequence[Shown], regions: Sequence[tuple[int, ...]]) -> float:
    """See flicker above. regions: x0, y0, x1, y1 of each frame."""
    protected = original = 0.0
    for (x, later_x), (y, later_y), region in zip(pairwise(originals), pairwise(run), regions[1:], strict=True):
        x0, y0, x1, y1 = region
        part = np.s_[y0:y1, x0:x1]
        protected += float(cv2.absdiff(y.picture[part], later_y.picture[part]).mean())
        original += float(cv2.absdiff(x[part], later_x[part]).mean())
    return protected / original


def crop_shift(originals: Sequence[Picture], run: Sequence[Shown]) -> float:
    window = cv2.createHanningWindow((96, 96), cv2.CV_32F)
    shifts = []
    for (x, y), (later_x, later_y) in pairwise(zip(originals, run, strict=True)):
        if y.face is not None and later_y.face is not None and y.face.track == later_y.face.track:
            crops = [
                cv2.cvtColor(extract(image, face.matrix), cv2.COLOR_BGR2GRAY)[28:124, 16:112].astype(np.float32)
                for image, face in ((x, y.face), (later_x, later_y.face))
            ]
            shifts.append(cv2.phaseCorrelate(*crops, window)[0])
    return float(np.sqrt((np.array(shifts) ** 2).sum(1).mean()))


def steadiness(run: Sequence[Shown]) -> dict[str, int]:
    faces = [item.face for item in run]
    present = [index for index, face in enumerate(faces) if face is not None]
    blinks = sum(
        a is not None and b is not None and a.track == b.track and a.treatment is not b.treatment
        for a, b in pairwise(faces)
    )
    return {
        "tracks": len({face.track for face in faces if face is not None}),
        "blinks": blinks,
        "covered": sum(face is not None and face.treatment is Treatment.COVERED for face in faces),
        "bare": sum(face is None for face in faces[present[0] : present[-1] + 1]) if present else len(faces),
    }


def same_person(run: Sequence[Shown], embed: Embed, apart: int) -> float | None:
    """See above. None where no two surrogates of one track are so many frames apart."""
    seen = [None if item.face is None or item.face.treatment is Treatment.COVERED else item.face for item in run]
    made = [None if face is None else embed(item.picture, places(face)) for item, face in zip(run, seen, strict=True)]
    found = [
        float(a @ b) >= SAME_PERSON
        for a, b, face, other in zip(made, made[apart:], seen, seen[apart:], strict=False)
        if a is not None and b is not None and face is not None and other is not None and face.track == other.track
    ]
    return float(np.mean(found)) if found else None


def places(face: FaceRecord) -> NDArray[np.float64]:
    """(5, 2) px: where the crop's template puts the landmarks; the surrogate's own are near."""
    back = invert(face.matrix)
    return np.asarray(TEMPLATE @ back[:, :2].T + back[:, 2])


def measure(runtime: MfmRuntime, clip: Path, frames: int, embed: Embed | None) -> dict[str, dict[str, object]]:
    with open_source(clip) as source, runtime.open_stream(FACTORS, salt=b"smoothness") as stream:
        rate = round(source.frame_rate or 25)
        originals = [frame.image for frame in islice(source, frames)]
        tracked = [shown(stream.anonymize(image)) for image in originals]
    alone = [shown(runtime.anonymize(image, FACTORS)) for image in originals]
    size = originals[0].shape[:2]
    whole = (0, 0, size[1], size[0])
    regions = [whole if item.face is None else frame_region(item.face.matrix, size) for item in tracked]
    result: dict[str, dict[str, object]] = {}
    for name, run in (("tracked", tracked), ("untracked", alone)):
        row: dict[str, object] = {
            "flicker": round(restlessness(originals, run, regions), 3),
            "crop_shift": round(crop_shift(originals, run), 3),
            **steadiness(run),
        }
        if embed is not None:
            row["same_person"] = {apart: same_person(run, embed, apart) for apart in (1, rate)}
        result[name] = row
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_clips(parser)
    parser.add_argument("--frames", type=int, default=60, help="of each clip (default: %(default)s)")
    parser.add_argument("--judge", type=Path, help="SFace as TorchScript, for same_person")
    parser.add_argument("--threads", type=int)
    add_options(parser, NAME)
    options = parser.parse_args()
    runtime = MfmRuntime(detector=YuNetDetector(threads=options.threads), threads=options.threads)
    embed = None if options.judge is None else open_judge(options.judge)
    clips: dict[str, dict[str, dict[str, object]]] = {}
    for path in options.clips:
        clips[path.stem] = measure(runtime, path, options.frames, embed)
        print(path.stem, json.dumps(clips[path.stem]), flush=True)
    medians = {
        way: {figure: float(np.median([rows[way][figure] for rows in clips.values()])) for figure in _FIGURES}
        for way in ("tracked", "untracked")
    }
    result = {
        "frames": options.frames,
        "model_id": runtime.model_id,
        "versions": {package: version(package) for package in ("mfm-edge", "numpy", "opencv-python-headless")},
        "judge": None if options.judge is None else options.judge.name,
        "median": medians,
        "clips": clips,
    }
    write(options, NAME, result, tell)


_FIGURES = ("flicker", "crop_shift")


def tell(result: Mapping[str, Any]) -> str:
    tracked, untracked = result["median"]["tracked"], result["median"]["untracked"]
    ways = [[rows[way] for rows in result["clips"].values()] for way in ("tracked", "untracked")]
    blinks, blinks_alone = (sum(row["blinks"] for row in rows) for rows in ways)
    same = [row["same_person"]["1"] for row in ways[0] if row.get("same_person", {}).get("1") is not None]
    judged = f" A judge takes neighbouring surrogates of a track for one person in {np.mean(same):.1%}." if same else ""
    return (
        f"How steady it is: the first {result['frames']} frames of {len(ways[0])} real clips, network "
        f"{result['model_id']}, medians.\nThe protected face changes from frame to frame "
        f"{tracked['flicker']:.2f} times as much as the original does (goal 1.2), {untracked['flicker']:.2f} times\n"
        f"without tracking; within its crop a face moves {tracked['crop_shift']:.2f} px of 128, "
        f"{untracked['crop_shift']:.2f} px without. Surrogate and cover\nalternate {blinks} times in all clips, "
        f"{blinks_alone} times without.{judged}\nThe tracker's parameters were chosen on these clips. "
        "Written by `python -m benchmarks.smoothness --publish`."
    )


if __name__ == "__main__":
    main()
