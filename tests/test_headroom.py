"""A surrogate's headroom: what would be clipped comes back, and the rest of the crop is left alone."""

import numpy as np
import pytest
import torch

from mfm_edge.engine.steps import run_parts
from mfm_edge.headroom import KNEE, WHITE, bend, squeeze, stretch
from mfm_edge.pixels import to_pixels, to_planes
from mfm_edge.style import expand
from mfm_edge.types import WINDOW


@pytest.fixture
def faces() -> np.ndarray:
    """Every level there is and somewhat more, all over the crop."""
    return np.random.default_rng(0).uniform(-WHITE, WHITE, (3, 3, 128, 128)).astype(np.float32)


def test_what_is_squeezed_is_stretched_again(faces):
    np.testing.assert_allclose(stretch(squeeze(faces, bend()), bend()), faces, atol=2e-6)


def test_nobody_changes_what_everybody_shares():
    with pytest.raises(ValueError, match="read-only"):
        bend()[...] = 0


def test_in_the_face_it_fits_into_a_picture_and_keeps_its_order(faces):
    inside = bend() == bend().max()
    assert inside.mean() > 0.15
    ramp = np.linspace(-WHITE, WHITE, 1000, dtype=np.float32)[:, None, None, None]
    squeezed = squeeze(np.broadcast_to(ramp, (1000, 1, 128, 128)), bend())
    middle = squeezed[:, 0, inside]
    assert np.abs(middle).max() == pytest.approx(1, abs=1e-6)
    assert (np.diff(middle, axis=0) > 0).all()
    grey = np.abs(ramp[:, 0, 0, 0]) <= KNEE
    np.testing.assert_allclose(squeezed[grey], np.broadcast_to(ramp[grey], squeezed[grey].shape), atol=1e-7)


def test_outside_the_window_nothing_changes(faces):
    top, left, side = WINDOW
    outside = np.ones((128, 128), bool)
    outside[top : top + side, left : left + side] = False
    np.testing.assert_allclose(squeeze(faces, bend())[..., outside], faces[..., outside], atol=1e-7)
    white = squeeze(np.ones((128, 128), np.float32), bend())
    for axis in (0, 1):  # no edge that one could see
        assert np.abs(np.diff(white, axis=axis)).max() < 2 / 127.5


def test_tensors_are_treated_alike(faces):
    curve = torch.from_numpy(bend())
    for change in (squeeze, stretch):
        found = change(torch.from_numpy(faces), curve).numpy()
        np.testing.assert_allclose(found, change(faces, bend()), atol=1e-6)
        assert found.dtype == change(faces, bend()).dtype == np.float32


def test_engines_squeeze_surrogates_alone_and_stretch_them_before_they_are_restored():
    """Around a network that changes nothing, in one batch."""

    def run(part: str, /, **inputs: np.ndarray) -> list[np.ndarray]:
        n = len(inputs["crop"])
        outputs = {
            "style_encoder": [np.zeros((n, 1024), np.float32)] * 3,
            "content_encoder": [np.zeros((n, 256, 32, 32), np.float32)],
            "decoder": [inputs["crop"].copy(), np.ones((n, 1), np.float32)],
        }
        return outputs[part]

    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), np.uint8)
    key = expand(b"k" * 32, np.zeros(17, np.float32))
    assert key.anonymises and not key.inverse().anonymises
    found = run_parts(run, crops, [key.inverse(), key, key.inverse()]).faces
    for change, index in ((stretch, [0, 2]), (squeeze, [1])):
        expected = to_pixels(change(to_planes(crops[index]), bend()))
        np.testing.assert_array_equal(found[index], expected)
        assert (expected != crops[index]).any()
