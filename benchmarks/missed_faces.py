"""How many faces the detector misses at the frame's edge and in profile, with one look and with its second one.

    python -m benchmarks.missed_faces --publish                            some minutes
    python -m benchmarks.missed_faces --few --output /tmp/missed.json      whether it works

cut: faces of real photos and clips that are seen whole with certainty (0.8 and 40 px of the working image), cut by the
    frame's edge on every side until so much of their box is left. Found is what overlaps that by 30 %.
clips: what MTCNN, another detector, takes for a face (0.95) in every twentieth frame and nothing of which is found. It
    misses profiles itself, and takes other things for faces.

Writes benchmarks/results/missed_faces.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clip_camera import add_clips
from benchmarks.report import add_options, write
from mfm_edge.detect import MtcnnDetector, YuNetDetector
from mfm_edge.detect.boxes import overlaps
from mfm_edge.types import Face
from mfm_edge.video import open_source

NAME = "missed_faces"
SIDES, LEFT = ("left", "right", "top", "bottom"), (0.65, 0.45)

Picture = NDArray[np.uint8]
Box = NDArray[np.float32]


class OneLook(YuNetDetector):
    def _look_at_edges(self, view: Picture) -> Box:
        return np.empty((0, 15), np.float32)


def certain(photos: Path, clips: Sequence[Path], detector: YuNetDetector, few: bool) -> Iterator[tuple[Picture, Face]]:
    """Pictures of at most 1280 px and faces in them that are seen whole."""
    images = [cv2.imread(str(path)) for path in sorted(photos.glob("*.jpg"))]
    for path in clips:
        with open_source(path) as source:
            images += [frame.image for frame in islice(source, 20, 21)]
    for image in images[:2] if few else images:
        scale = min(1.0, 1280 / max(image.shape[:2]))
        small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = small.shape[:2]
        for face in detector.detect(small):
            inside = (face.box[:2] >= 0).all() and face.box[2] < width and face.box[3] < height
            if inside and face.score >= 0.8 and face.box[3] - face.box[1] >= 40 * max(small.shape) / 640:
                yield small, face


def cut(image: Picture, box: Box, side: str, left: float) -> tuple[Picture, Box]:
    """A picture that ends within a box, so that only a part of that is left; and what is left."""
    x0, y0, x1, y1 = box
    if side == "left":
        image, box = image[:, int(x1 - left * (x1 - x0)) :], box - [int(x1 - left * (x1 - x0)), 0] * 2
    elif side == "right":
        image = image[:, : int(x0 + left * (x1 - x0))]
    elif side == "top":
        image, box = image[int(y1 - left * (y1 - y0)) :], box - [0, int(y1 - left * (y1 - y0))] * 2
    else:
        image = image[: int(y0 + left * (y1 - y0))]
    return np.ascontiguousarray(image), within(box, image)


def within(box: Box, image: Picture) -> Box:
    height, width = image.shape[:2]
    return np.clip(box, 0, [width, height, width, height]).astype(np.float32)


def has(detector: YuNetDetector, image: Picture, box: Box, least: float) -> bool:
    found = detector.detect(image)
    return bool(found) and bool((overlaps(np.stack([within(f.box, image) for f in found]), box) > least).any())


def measure_cuts(
    faces: list[tuple[Picture, Face]], detectors: Mapping[str, YuNetDetector]
) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for left in LEFT:
        parts = [cut(image, face.box, side, left) for image, face in faces for side in SIDES]
        parts = [(image, box) for image, box in parts if min(image.shape[:2]) >= 64]
        found = {name: np.mean([has(one, *part, 0.3) for part in parts]) for name, one in detectors.items()}
        result[f"{left:.0%} left"] = {name: round(float(share), 3) for name, share in found.items()}
    return result


def measure_clips(clips: list[Path], detectors: Mapping[str, YuNetDetector], every: int) -> dict[str, Any]:
    other = MtcnnDetector(min_face=40, score=0.95, threads=1)
    faces, missed = 0, dict.fromkeys(detectors, 0)
    for path in clips:
        with open_source(path) as source:
            for frame in islice(source, 0, None, every):
                for face in other.detect(frame.image):
                    faces += 1
                    for name, detector in detectors.items():
                        missed[name] += not has(detector, frame.image, within(face.box, frame.image), 0)
    return {"faces": faces, "missed": missed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_clips(parser)
    parser.add_argument("--photos", type=Path, help="folder with .jpg files (default: ../photos of the clips)")
    parser.add_argument("--few", action="store_true", help="two photos, one clip, to see whether it works")
    add_options(parser, NAME)
    options = parser.parse_args()
    detectors = {"one look": OneLook(threads=1), "both": YuNetDetector(threads=1)}
    photos = options.photos or options.clips[0].absolute().parents[1] / "photos"
    faces = list(certain(photos, options.clips, detectors["one look"], options.few))
    clips, every = (options.clips[-1:], 60) if options.few else (options.clips, 20)
    result = {
        "cut": {"faces": len(faces), "found": measure_cuts(faces, detectors)},
        "clips": measure_clips(clips, detectors, every),
    }
    write(options, NAME, result, tell)


def tell(result: Mapping[str, Any]) -> str:
    cuts, clips = result["cut"], result["clips"]
    found = "; ".join(
        f"{left}, {shares['both']:.0%} instead of {shares['one look']:.0%}" for left, shares in cuts["found"].items()
    )
    return (
        f"The second look finds faces that the frame's edge cuts ({cuts['faces']} faces, four sides): of the box "
        f"{found}.\nOf {clips['faces']} faces that MTCNN sees in the real clips {clips['missed']['both']} are missed, "
        f"with one look {clips['missed']['one look']}.\n"
        "Written by `python -m benchmarks.missed_faces --publish`."
    )


if __name__ == "__main__":
    main()
