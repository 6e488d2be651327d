import numpy as np
import pytest
from skimage.data import astronaut

from training.metrics.channels import blurred, h264, jpeg, rescaled
from training.metrics.recovery import psnr


@pytest.fixture
def crops():
    face = astronaut()[30:158, 160:288]
    return np.stack([face, face[:, ::-1]])


@pytest.mark.parametrize(
    "channel", [blurred, lambda c: jpeg(c, 50), lambda c: rescaled(c, 64)], ids=["blur", "jpeg", "small"]
)
def test_a_channel_loses_something_and_keeps_the_picture(crops, channel):
    sent = channel(crops)
    assert sent.shape == crops.shape and sent.dtype == np.uint8
    assert (psnr(crops, sent) > 22).all() and (psnr(crops, sent) < 45).all()


def test_jpeg_loses_less_at_higher_quality_and_keeps_colours_in_order(crops):
    assert (psnr(crops, jpeg(crops, 90)) > psnr(crops, jpeg(crops, 50)) + 3).all()
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert abs(jpeg(red, 90)[0, 32, 32].astype(int) - (200, 0, 0)).max() < 8


def test_h264_gives_every_frame_back_in_order(crops):
    frames = [crops[0], crops[1], crops[0]]
    sent = h264(frames, 23)
    assert len(sent) == 3
    assert all(psnr(a[None], b[None]) > 28 for a, b in zip(frames, sent, strict=True))
