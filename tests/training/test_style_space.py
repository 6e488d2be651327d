import cv2
import numpy as np
import pytest
import torch

from mfm_edge.style import COORDINATES, expand, face_mask
from training.data import FaceSet
from training.networks import STYLE_GAIN, Modifier, repeat_add
from training.style_space import StyleSpace, fit_style_space, thumbnail


@pytest.fixture(scope="session")
def faces() -> FaceSet:
    """Smooth random pictures: enough variance in every direction to fit a space, no data set needed."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 60, (600, 16, 16, 3))
    crops = np.stack([cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in coarse]) + 128
    return FaceSet(
        crops=crops.clip(0, 255).astype(np.uint8),
        identities=np.arange(600, dtype=np.int64) // 2,
        attributes=rng.random((600, 17)) < 0.5,
        landmarks=rng.normal(64, 10, (600, 5, 2)).astype(np.float32),
    )


@pytest.fixture(scope="session")
def space(faces: FaceSet) -> StyleSpace:
    return fit_style_space(faces)


def test_synthesis_inverts_analysis(space):
    np.testing.assert_allclose(space.synthesis @ space.analysis, np.eye(COORDINATES), atol=1e-4)


def test_coordinates_ignore_brightness(space):
    """A brighter picture of the same face has the same coordinates."""
    flat = np.ones(1024, np.float32)
    assert np.abs(flat @ space.analysis).max() < 1e-3


def test_the_change_lies_inside_the_face(space):
    outside = face_mask(32).ravel() < 0.02
    assert np.abs(space.synthesis[:, outside]).max() < 0.05 * np.abs(space.synthesis).max()


def test_right_key_turns_the_thumbnail_back_and_a_wrong_one_does_not(faces, space):
    network = Modifier(space).eval()
    torch.nn.init.zeros_(network.decoder.out.weight)  # only what the style code draws
    x = torch.from_numpy(faces.crops[:8]).permute(0, 3, 1, 2).float() / 127.5 - 1
    x = x * 0.3  # room for the change: nothing is clipped

    def run(picture, key):
        rotation = torch.from_numpy(key.rotation).expand(len(picture), -1, -1)
        with torch.no_grad():
            return network(picture, rotation, torch.from_numpy(key.signature).expand(len(picture), -1))

    key = expand(b"right" * 4, np.zeros(17, np.float32))
    other = expand(b"wrong" * 4, np.zeros(17, np.float32))
    y = run(x, key)
    change = (thumbnail(y) - thumbnail(x)).abs().mean()
    back = (thumbnail(run(y, key.inverse())) - thumbnail(x)).abs().mean()
    wrong = (thumbnail(run(y, other.inverse())) - thumbnail(x)).abs().mean()
    # Drawing with bilinear interpolation blurs these noise pictures a little; faces, being smooth, come back closer.
    assert back < 0.4 * change
    assert wrong > 0.7 * change


def test_style_code_reads_back_from_the_summed_latent(faces, space):
    network = Modifier(space).eval()
    x = torch.from_numpy(faces.crops[:2]).permute(0, 3, 1, 2).float() / 127.5 - 1
    style = torch.randn(2, 1024)
    with torch.no_grad():
        latent = repeat_add(network.content_encoder(x), style)
    assert latent.shape == (2, 256, 32, 32)
    torch.testing.assert_close(latent.mean(1).flatten(1), style, atol=1e-5, rtol=0)


def test_gain_scales_the_drawing(space):
    network = Modifier(space)
    change = torch.randn(1, COORDINATES)
    drawn = network.style_encoder.draw(change, torch.zeros(1, 1024))
    torch.testing.assert_close(drawn, STYLE_GAIN * change @ torch.from_numpy(space.synthesis))
