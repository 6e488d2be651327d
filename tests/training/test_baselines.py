import numpy as np
import pytest

from mfm_edge.types import WINDOW
from training.baselines import black_box, blur, k_same, pixelation

TOP, LEFT, SIDE = WINDOW


def inside(crops):
    return crops[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE]


@pytest.mark.parametrize("method", [pixelation, blur, black_box, lambda crops: k_same(crops, 4)])
def test_only_the_window_changes(faces, method):
    crops = faces.crops[:9]
    before = crops.copy()
    changed = method(crops)
    assert changed.dtype == np.uint8 and (changed != crops).any()
    np.testing.assert_array_equal(crops, before)
    inside(changed)[:] = inside(crops)
    np.testing.assert_array_equal(changed, crops)


def test_pixels_are_as_coarse_as_said(faces):
    cell = SIDE // 8
    square = inside(pixelation(faces.crops[:2]))[:, :cell, :cell]
    assert (square == square[:, :1, :1]).all()
    assert abs(float(square[0, 0, 0].mean()) - inside(faces.crops[:1])[:, :cell, :cell].mean()) < 2


def test_every_k_same_face_stands_for_k_people(faces):
    drawn = inside(k_same(faces.crops[:23], 5)).reshape(23, -1)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.sum() == 23 and counts.min() >= 5 and counts.max() < 10
    with pytest.raises(ValueError, match="takes at least k = 5"):
        k_same(faces.crops[:4], 5)
