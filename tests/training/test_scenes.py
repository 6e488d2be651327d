"""Faces in frames of all sizes: what is cut out again is the face, through codecs as well."""

import numpy as np
import pytest

from mfm_edge.types import WINDOW
from training import scenes
from training.scenes import Scenes


def _psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    top, left, side = WINDOW  # what is pasted
    inner = np.s_[:, top + 2 : top + side - 2, left + 2 : left + side - 2]
    return 10 * np.log10(255**2 / ((a[inner].astype(float) - b[inner]) ** 2).mean((1, 2, 3)))


@pytest.fixture
def plain(monkeypatch) -> None:
    """All in the light that they come in, and where records say."""
    monkeypatch.setattr(scenes, "DARKEST", 1.0)
    monkeypatch.setattr(scenes, "REALIGNED", 0.0)


def _at(side: float, crops: np.ndarray, rng: np.random.Generator, monkeypatch) -> Scenes:
    monkeypatch.setattr(scenes, "SIDES", (side, side * 1.001))
    return Scenes.of(crops, rng)


def test_the_smaller_a_face_in_its_frame_the_less_is_left_of_it(faces, plain, monkeypatch):
    rng = np.random.default_rng(0)
    left = []
    for side in (48, 96, 256):
        found = _at(side, faces.crops[:6], rng, monkeypatch)
        assert len({frame.shape for frame in found.frames}) == 1 and found.frames[0].shape[0] % 2 == 0
        left.append(_psnr(found.crops(), faces.crops[:6]).mean())
    assert left[0] < left[1] < left[2] and left[2] > 30


def test_a_third_is_seen_in_less_light(faces, monkeypatch):
    rng = np.random.default_rng(0)
    dimmed = [
        Scenes.of(faces.crops[i : i + 6], rng).crops()[:, 32:-32, 32:-32].mean((1, 2, 3))
        / faces.crops[i : i + 6, 32:-32, 32:-32].mean((1, 2, 3))
        for i in range(0, 120, 6)
    ]
    share = np.concatenate(dimmed)
    assert 0.2 < (share < 0.9).mean() < 0.45 and share.min() > scenes.DARKEST - 0.03 and share.max() < 1.05


@pytest.mark.parametrize(("kind", "at_least"), [(0.1, 27), (0.6, 27), (0.9, 32)])
def test_what_is_pasted_comes_back_through_each_codec(faces, plain, monkeypatch, kind, at_least):
    """Other faces than those that were there: 0.1 for H.264, 0.6 for JPEG, 0.9 for none."""
    rng = np.random.default_rng(0)
    smooth = faces.crops[:6] // 4 * 4
    found = _at(256, smooth, rng, monkeypatch)
    others = np.roll(found.crops(), 1, 0)
    before = [frame.copy() for frame in found.frames]

    class Drawn:
        """What a generator is asked for, but for the codec."""

        random = staticmethod(lambda: kind)
        normal, integers = rng.normal, staticmethod(lambda low, high: (low + high) // 2)

    back = found.sent(others, Drawn())
    assert _psnr(back, others).min() > at_least and _psnr(back, found.crops()).max() < 20
    assert all((a == b).all() for a, b in zip(found.frames, before, strict=True))
