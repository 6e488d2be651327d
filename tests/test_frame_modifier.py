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
from mfm_edge.style import FaceKeys
from mfm_edge.types import Face

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
        return Modified(np.broadcast_to(levels[:, None, None, None], crops.shape), np.ones(len(crops), np.float32))


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
