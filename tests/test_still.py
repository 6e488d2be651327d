"""mfm_edge.detect.still: the detector is spared, and never where it would have found a face."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import StillSceneDetector, YuNetDetector
from mfm_edge.errors import ArgumentError
from mfm_edge.types import Face
from mfm_edge.video import open_source

FACE = Face(box=np.array([10, 10, 60, 60]), landmarks=np.arange(10).reshape(5, 2), score=0.9)


class Counting:
    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        self.calls += 1
        if self.fails:
            raise RuntimeError("no detector today")
        return (FACE,) * self.calls


def noisy(frame: NDArray[np.uint8], level: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, level, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).uniform(30, 220, (9, 16, 3))
    return cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def test_a_still_scene_is_looked_at_now_and_then(scene: NDArray[np.uint8]) -> None:
    counting = Counting()
    detector = StillSceneDetector(counting, longest=8)
    for seed in range(33):
        faces = detector.detect(noisy(scene, 3, seed))
        assert faces == (FACE,) * counting.calls
    assert counting.calls == 5


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (1921, 1083), (100, 64)])
def test_any_small_change_is_looked_at(scene: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """As large as the smallest face that the detector finds (10 px of a picture of 640), anywhere, corners too."""
    frame = cv2.resize(scene, size)
    side = max(3, round(10 * max(size) / 640))
    for x, y in ((0, 0), (size[0] - side, size[1] - side), (size[0] // 2 + 3, size[1] // 3), (size[0] - side, 0)):
        for channel in range(3):
            counting = Counting()
            detector = StillSceneDetector(counting)
            detector.detect(frame)
            changed = frame.copy()
            part = changed[y : y + side, x : x + side, channel]
            part[:] = np.where(part > 127, part - 6, part + 6)
            detector.detect(changed)
            assert counting.calls == 2, (x, y, channel)


def test_what_comes_slowly_is_noticed(scene: NDArray[np.uint8]) -> None:
    counting = Counting()
    detector = StillSceneDetector(counting, longest=1000)
    frame = scene // 2
    for _ in range(40):
        frame = frame + np.uint8(1)
        detector.detect(frame)
    assert 10 <= counting.calls <= 14  # cells are rounded


def test_a_detector_that_failed_is_asked_again(scene: NDArray[np.uint8]) -> None:
    counting = Counting()
    detector = StillSceneDetector(counting)
    detector.detect(scene)
    detector.look_again()
    counting.fails = True
    for _ in range(3):
        with pytest.raises(RuntimeError):
            detector.detect(scene)
    counting.fails = False
    detector.detect(scene)
    detector.detect(scene)
    assert counting.calls == 5
    detector.detect(scene[:360])  # another size
    assert counting.calls == 6


def newcomers() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """An empty scene, and a real face in it: of several sizes and places, ever fainter, by day and by night."""
    with open_source(CLIP) as source:
        portrait = next(iter(source)).image[10:250, 130:330]
    coarse = np.random.default_rng(1).uniform(60, 180, (9, 16, 3))
    for light in (1.0, 0.2, 0.08):
        empty = cv2.resize(coarse * light, (640, 360), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        for height in (36, 80, 180):
            face = cv2.resize(portrait, (height * 5 // 6, height), interpolation=cv2.INTER_AREA) * light
            for opacity in (1.0, 0.6, 0.4, 0.2):
                there = empty.copy()
                part = there[101 : 101 + height, 203 : 203 + face.shape[1]]
                part[:] = np.rint((1 - opacity) * part + opacity * face)
                yield empty, there


def test_no_face_that_the_detector_finds_goes_unnoticed() -> None:
    yunet, found, noticed = YuNetDetector(threads=1), 0, 0
    for empty, there in newcomers():
        if yunet.detect(empty):
            continue
        counting = Counting()
        still = StillSceneDetector(counting)
        still.detect(empty)
        still.detect(there)
        if yunet.detect(there):
            found += 1
            assert counting.calls == 2
        noticed += counting.calls == 2
    assert found >= 10 and noticed >= found


def test_bad_options_are_named() -> None:
    for longest in (0, True, "often"):
        with pytest.raises(ArgumentError, match="longest: got"):
            StillSceneDetector(Counting(), longest=longest)  # type: ignore[arg-type]
