import torch

from training.tone import tone, untone


def test_every_pixel_value_comes_back():
    x = torch.arange(256) / 127.5 - 1
    torch.testing.assert_close(untone(tone(x)), x, atol=1e-5, rtol=0)
    assert tone(x).min() > -1.001 and tone(x).max() < 1.001


def test_large_changes_hardly_leave_the_range():
    x = torch.arange(256) / 127.5 - 1
    for change in (-0.3, 0.3):
        assert untone(tone(x) + change).abs().max() < 1.15
        assert (untone(tone(x) + change).abs() > 1).float().mean() < 0.12
        assert ((x + change).abs() > 1).float().mean() > 0.14


def test_rounding_weighs_little_more_at_the_ends():
    slopes = tone(torch.arange(256) / 127.5 - 1).diff()
    assert 3 < slopes.max() / slopes.min() < 3.5
