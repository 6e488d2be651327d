"""Makes mfm_edge/demo/clip.mp4 from two public-domain portraits; run it only to change the clip.

    pip install scikit-image matplotlib && python benchmarks/make_demo_clip.py

A virtual camera starts on Eileen Collins, pulls back until Grace Hopper is in the picture too, pans and closes in on
her, with a hand-held sway and a little roll, so that detection, tracking and alignment all have something to do.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.video import FileSink

SIZE = (640, 360)
RATE = 25
SECONDS = 7.0
HEIGHT = 900  # px of the canvas that the camera moves over
SEAM = 60  # px over which the portraits melt into each other
SHOTS = (  # s, centre x, centre y and height of the view in canvas px
    (0.0, 410, 230, 430),
    (1.2, 400, 240, 430),
    (3.0, 820, 400, 790),
    (4.4, 860, 400, 790),
    (6.2, 1195, 410, 560),
    (7.0, 1205, 405, 520),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[1] / "mfm_edge" / "demo" / "clip.mp4"
    parser.add_argument("-o", "--output", type=Path, default=default)
    options = parser.parse_args()
    canvas = compose()
    with FileSink(options.output, size=SIZE, frame_rate=RATE, crf=23) as sink:
        for index in range(round(SECONDS * RATE)):
            sink.write(shoot(canvas, index / RATE), index / RATE)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


def compose() -> NDArray[np.uint8]:
    """(HEIGHT, W, 3) uint8 BGR: both portraits side by side, the seam blended, the edges repeated for the sway."""
    left = portrait("skimage", "data/astronaut.png")
    right = portrait("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
    weight = np.linspace(1, 0, SEAM)[None, :, None]
    blend = left[:, -SEAM:] * weight + right[:, :SEAM] * (1 - weight)
    canvas = np.hstack([left[:, :-SEAM], blend.astype(np.uint8), right[:, SEAM:]])
    return np.asarray(canvas, dtype=np.uint8)


def portrait(package: str, path: str) -> NDArray[np.uint8]:
    """(HEIGHT, W, 3) uint8 BGR: a picture that comes with an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed: pip install scikit-image matplotlib")
    image = cv2.imread(str(Path(spec.origin).parent / path))
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return np.asarray(cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shoot(canvas: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
    """The frame at a time: (360, 640, 3) uint8 BGR, rendered at twice the size against aliasing."""
    x, y, view = camera(seconds)
    width, height = 2 * SIZE[0], 2 * SIZE[1]
    turn = cv2.getRotationMatrix2D((x, y), 2.5 * np.sin(seconds * 1.9), height / view)
    turn[:, 2] += (width / 2 - x, height / 2 - y)
    picture = cv2.warpAffine(canvas, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    light = 1 + 0.04 * np.sin(seconds * 2.3)
    small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * light, 0, 255), dtype=np.uint8)


def camera(seconds: float) -> tuple[float, float, float]:
    """Centre and height of the view in canvas px: eased between the shots, with a hand's sway on top."""
    times = [shot[0] for shot in SHOTS]
    after = min(int(np.searchsorted(times, seconds, side="right")), len(SHOTS) - 1)
    start, end = np.array(SHOTS[after - 1]), np.array(SHOTS[after])
    part = (seconds - start[0]) / (end[0] - start[0])
    _, x, y, view = start + (end - start) * part * part * (3 - 2 * part)
    sway = view / 100
    return x + sway * np.sin(seconds * 2.1), y + sway * np.sin(seconds * 1.3 + 1), view


if __name__ == "__main__":
    main()
