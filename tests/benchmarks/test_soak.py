"""The soak's own parts: it would notice a face that nobody protected."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.clip_camera import ClipCamera, number_in
from benchmarks.soak import Checker, CheckerElsewhere, Inspector, Memory
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.guard import cover_face, cover_frame


def camera(count: int) -> ClipCamera:
    return ClipCamera([CLIP], size=(640, 360), rate=1000, seconds=(count - 1) / 1000)


def test_frames_bear_their_numbers_through_a_codec() -> None:
    source = camera(40)
    numbers = []
    while (image := source.read()) is not None:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
        numbers.append(number_in(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))))
        assert source.taken[len(numbers) - 1].image is image
    source.close()
    assert numbers == list(range(40))
    assert number_in(cover_frame(source.taken[39].image)) is None


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_raw_face_is_noticed(tmp_path: Path, elsewhere: bool) -> None:
    source = camera(2)
    options: dict[str, Any] = {"min_face": 40, "judge": None, "keep": tmp_path}
    with CheckerElsewhere(**options) if elsewhere else nullcontext(Checker(**options)) as checker:
        notice_a_raw_face(source, Inspector(source, checker), tmp_path)
    source.close()


def notice_a_raw_face(source: ClipCamera, inspector: Inspector, tmp_path: Path) -> None:
    first, second = source.read(), source.read()
    assert first is not None and second is not None
    protected = first.copy()
    for face in YuNetDetector(threads=1).detect(first):
        cover_face(protected, face)
    inspector.show(protected)
    assert (inspector.counts["faces"], inspector.counts["unprotected"]) == (1, 0) and not list(tmp_path.iterdir())
    inspector.show(second)
    assert (inspector.counts["faces"], inspector.counts["unprotected"]) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["1-unprotected.jpg"]
    inspector.show(cover_frame(first))
    assert inspector.counts["covered_whole"] == 1


@pytest.mark.parametrize(("late", "flat"), [(104.0, True), (106.0, False), (94.0, False)])
def test_memory_counts_once_it_is_warm(late: float, flat: bool) -> None:
    memory = Memory()
    sizes = [50.0] * 10 + [100.0] * 45 + [late] * 45
    memory.samples = [(float(second), size) for second, size in enumerate(sizes)]
    said = memory.summary()
    assert said["flat"] is flat and said["growth"] == pytest.approx(late / 100 - 1, abs=1e-3)
    assert (said["least_mb"], said["most_mb"]) == (min(100, late), max(100, late))
    tenths: Any = said["each_tenth_mb"]
    assert len(tenths) == 10 and (tenths[0], tenths[1], tenths[-1]) == (50, 100, late)
