"""A frame's faces go through the network a few at a time, and each comes back to its own place."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors
from mfm_edge.align import TEMPLATE
from mfm_edge.engine import Modified
from mfm_edge.frame_modifier import FrameModifier
from mfm_edge.key_evidence import KeyEvidence
from mfm_edge.style import FaceKeys
from mfm_edge.types import Face, FaceRecord

KEYS = FaceKeys(bytes(32), Factors("p").attribute_vector())


class Counter:
    """Stands in for the network: paints crops brighter and brighter, one after another. calls: how many each had."""

    model_id = provider = "stand-in"
    on_cpu = True

    def __init__(self, batch: int) -> None:
        self.batch, self.calls = batch, list[int]()

    def modify(self, crops: NDArray[np.uint8], keys: Any, landmarks: Any = None) -> Modified:
        assert len(keys) == len(landmarks) == len(crops)
        first = sum(self.calls)
        self.calls.append(len(crops))
        levels = 100 + 20 * np.arange(first, first + len(crops), dtype=np.uint8)
        return Modified(
            np.broadcast_to(levels[:, None, None, None], crops.shape), np.zeros((len(crops), 1), np.float32)
        )


def face(left: float) -> Face:
    points = (TEMPLATE * 0.5 + (left, 20)).astype(np.float32)
    return Face(box=np.concatenate([points.min(0) - 10, points.max(0) + 10]), landmarks=points, score=0.9)


@pytest.mark.parametrize(("batch", "calls"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (8, [5])])
def test_faces_go_through_in_batches_that_pay_and_keep_their_places(batch: int, calls: list[int]) -> None:
    coarse = np.random.default_rng(0).uniform(20, 60, (20, 90, 3))
    frame = cv2.resize(coarse, (720, 160), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    faces, engine = [face(left) for left in (600, 20, 300, 160, 450)], Counter(batch)
    five: Any = len(faces)
    protected = FrameModifier(engine).protect(frame, faces, KEYS, [True] * five, [None] * five, list(range(five)))
    assert engine.calls == calls
    nose = [tuple(one.landmarks[2].astype(int)) for one in faces]
    assert [int(protected.frame[y, x, 0]) for x, y in nose] == [100, 120, 140, 160, 180]


class Faint:
    """Stands in for the network: each face says as much for its key as chance may. known: of each face's key, by call;
    those that are known come back bright."""

    model_id = provider = "stand-in"
    on_cpu = True
    batch = 64

    def __init__(self) -> None:
        self.known: list[list[bool]] = []

    def modify(self, crops: NDArray[np.uint8], keys: Any, landmarks: Any = None) -> Modified:
        known = np.array([key.known[0] > 0 for key in keys])
        self.known.append(known.tolist())
        evidence = np.zeros((len(crops), 64), np.float32)
        for index in range(len(crops)):
            evidence[index, 4 * index : 4 * index + 4] = 0.5  # 2 deviations
        return Modified(np.where(known[:, None, None, None], np.uint8(200), crops), evidence)


def faint_faces(count: int, slot: int | None = 3) -> list[FaceRecord]:
    matrices = [np.array([[2.0, 0, -2 * left], [0, 2, -20]]) for left in range(10, 80 * count, 80)]
    return [FaceRecord(matrix, np.array([0, 0, 9, 9]), 0.9, slot=slot) for matrix in matrices]


def test_what_faces_tell_together_counts_for_all_of_them_and_for_later_ones() -> None:
    frame, evidence, engine = np.full((100, 1000, 3), 90, np.uint8), KeyEvidence(), Faint()
    few = FrameModifier(engine).restore(frame, KEYS, faint_faces(2), evidence)
    assert (few.frame == frame).all() and engine.known == [[False] * 2]
    many = FrameModifier(engine).restore(frame, KEYS, faint_faces(12), evidence)
    assert engine.known[1:] == [[False] * 12, [True] * 12]
    assert (many.frame == 200).any((0, 2)).sum() > 12 * 30
    FrameModifier(engine).restore(frame, KEYS, faint_faces(1), evidence)
    assert engine.known[3:] == [[True]]


def test_faces_whose_slots_are_not_certain_count_for_themselves() -> None:
    frame, engine = np.full((100, 1000, 3), 90, np.uint8), Faint()
    found_again = FrameModifier(engine).restore(frame, KEYS, faint_faces(12))
    assert (found_again.frame == frame).all() and engine.known == [[False] * 12]
    evidence = KeyEvidence()
    FrameModifier(engine).restore(frame, KEYS, faint_faces(1, slot=None), evidence)
    assert not evidence.right and not any(engine.known[1])
    evidence.add([np.full(100, 0.1, np.float32)])
    FrameModifier(engine).restore(frame, KEYS, faint_faces(1, slot=None), evidence)
    assert evidence.right and not any(engine.known[2])
