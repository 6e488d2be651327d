import pytest
import torch

from training.wavelet import wavelet


@pytest.mark.parametrize(("size", "levels"), [(48, 2), (48, 1), (32, 2), (16, 1)])
def test_transform_is_orthonormal(size, levels):
    transform = wavelet(size, levels)
    torch.testing.assert_close(transform @ transform.T, torch.eye(size), atol=1e-6, rtol=0)


def test_flat_signals_are_coarse_only():
    coefficients = wavelet(48, 2) @ torch.ones(48)
    torch.testing.assert_close(coefficients[:12], torch.full((12,), 2.0))
    assert coefficients[12:].abs().max() < 1e-5


def test_slopes_leave_no_detail_away_from_the_seam():
    coefficients = wavelet(48, 2) @ torch.arange(48.0)
    for detail in (coefficients[12:24], coefficients[24:]):
        assert (detail.abs() < 1e-3).sum() >= len(detail) - 6


def test_coarse_functions_lie_where_their_index_says():
    energy = wavelet(48, 2)[3:9].square()
    centres = (energy * (torch.arange(48) + 0.5)).sum(1)
    torch.testing.assert_close(centres, torch.arange(3, 9) * 4 + 2.0, atol=0.2, rtol=0)
