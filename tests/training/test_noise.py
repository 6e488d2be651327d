"""What is noise in unscrambled components is told from how they vary, and taken off as far as it is worth."""

import pytest
import torch

from training.bands import Bands
from training.noise import LEVELS, UNEXPECTED, Noise


@pytest.fixture(scope="module")
def bands(space) -> Bands:
    return Bands(space)


def _noisy(bands: Bands, portion: int, level: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Components of faces (32,K), and with noise of a level in their surrogates."""
    generator = torch.Generator().manual_seed(portion)
    spread = bands.spread(portion)
    face = UNEXPECTED * spread * torch.randn(32, len(spread), generator=generator)
    noise = level * torch.randn(32, len(spread), generator=generator) / bands.damping(portion)
    return face, face + bands.components(portion, noise)


@pytest.mark.parametrize("portion", [0, 1, 2])
def test_the_level_of_noise_is_found(bands, portion):
    for index in (2, 5, 9, 11):
        _, noisy = _noisy(bands, portion, LEVELS[index])
        _, found = Noise(bands)(portion, noisy)
        assert found.shape == (32, 1)
        assert ((found - index / (len(LEVELS) - 1)).abs() < 1.5 / (len(LEVELS) - 1)).all()


@pytest.mark.parametrize("portion", [0, 1, 2])
def test_what_is_kept_is_nearer_to_the_face_than_what_came(bands, portion):
    """And without noise no more is taken off than rounding leaves."""
    noise = Noise(bands)
    for level in (0.045, 0.13, 0.3):
        face, noisy = _noisy(bands, portion, level)
        kept, _ = noise(portion, noisy)
        assert (kept - face).square().sum() < 0.9 * (noisy - face).square().sum()
    face, same = _noisy(bands, portion, 0.0)
    kept, _ = noise(portion, same)
    assert (kept - face).square().sum() < 0.01 * face.square().sum()
