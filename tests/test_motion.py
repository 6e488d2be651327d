"""mfm_edge.motion: known movements of a real picture are found, and nothing is made up where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.demo.__main__ import CLIP
from mfm_edge.motion import Motion
from mfm_edge.video import open_source

BOX = np.array([180.0, 60.0, 300.0, 200.0])
CORNERS = np.array([(180, 60), (300, 60), (180, 200), (300, 200)], np.float64)
STILL = np.zeros(2)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    with open_source(CLIP) as source:
        return next(iter(source)).image


def turned(degrees: float, scale: float, x: float, y: float) -> NDArray[np.float64]:
    matrix = cv2.getRotationMatrix2D((240, 130), degrees, scale)
    return np.asarray(matrix + np.array([[0, 0, x], [0, 0, y]]))


@pytest.mark.parametrize("enlarged", [1, 2, 3])
@pytest.mark.parametrize("movement", [(0, 1, 0, 0), (0, 1, 3.3, -2.1), (4, 1.03, 1, 1), (-6, 0.95, -9, 6)])
def test_known_movements(picture: NDArray[np.uint8], movement: tuple[float, ...], enlarged: int) -> None:
    small, before, after = turned(*movement), np.eye(2, 3) * enlarged, turned(*movement) * enlarged
    size = (picture.shape[1] * enlarged, picture.shape[0] * enlarged)
    motion = Motion()
    for matrix in (before, after):
        motion.look(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    (found,) = motion.of([BOX * enlarged], [STILL])
    assert found is not None
    expected = (CORNERS @ small[:, :2].T + small[:, 2]) * enlarged
    assert np.abs(CORNERS * enlarged @ found[:, :2].T + found[:, 2] - expected).max() < 0.5 * enlarged


def test_a_hint_finds_what_went_far(picture: NDArray[np.uint8]) -> None:
    motion = Motion()
    motion.look(picture)
    motion.look(np.roll(picture, 90, axis=1))
    alone, hinted = motion.of([BOX, BOX], [STILL, np.array([85.0, 0.0])])
    assert hinted is not None and np.abs(hinted - [[1, 0, 90], [0, 1, 0]]).max() < 0.5
    assert alone is None or np.abs(alone[:, 2] - [90, 0]).max() > 5  # why there is a hint


def test_nothing_is_made_up(picture: NDArray[np.uint8]) -> None:
    motion = Motion()
    motion.look(picture)
    assert motion.of([BOX], [STILL]) == [None]  # no frame before
    motion.look(np.full_like(picture, 90))
    assert motion.of([BOX], [STILL]) == [None]  # hidden
    motion.look(np.full_like(picture, 90))
    assert motion.of([BOX], [STILL]) == [None]  # flat
    motion.look(picture)
    motion.look(picture[:-40, :-40])
    assert motion.of([BOX], [STILL]) == [None]  # another size
    motion.look(picture[:-40, :-40])
    tiny, outside = motion.of([np.array([50.0, 50, 60, 60]), BOX + 5000], [STILL, STILL])
    assert tiny is None and outside is None
    assert motion.of([], []) == []


def test_a_head_that_turns_is_followed_by_the_middle_of_its_points(picture: NDArray[np.uint8]) -> None:
    """The nose goes further than the ears: no similarity fits to a pixel, one fits nearly."""
    x, y = np.meshgrid(np.arange(picture.shape[1]), np.arange(picture.shape[0]))
    moved = 3 + 9 * np.clip(1 - ((x - 240) / 70) ** 2, 0, None)  # px, most in the middle of the face
    motion = Motion()
    motion.look(picture)
    motion.look(cv2.remap(picture, (x - moved).astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC))
    (found,) = motion.of([BOX], [STILL])
    assert found is not None
    assert np.abs(found @ [240, 130, 1] - [250, 130]).max() < 2
