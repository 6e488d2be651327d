import torch

from training.channel import channel, coded, quantise


def test_quantise_gives_uint8_levels_and_passes_gradients():
    y = (torch.rand(2, 3, 128, 128) * 2 - 1).requires_grad_()
    q = quantise(y)
    levels = (q.detach() + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3
    q.sum().backward()
    assert torch.equal(y.grad, torch.ones_like(y))


def test_channel_keeps_the_picture_recognisable():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, 128, mode="bicubic").clamp(-1, 1)
    sent = channel(smooth)
    error = (sent - smooth)[:, :, 16:112, 16:112].abs().mean((1, 2, 3))
    assert (error[:2] < 0.004).all()  # quantised only
    assert (error[2:] < 0.06).all()  # there and back again lands where it was


def test_coding_is_that_of_jpeg_and_passes_gradients():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, 128, mode="bicubic").clamp(-1, 1)
    noise = (0.3 * torch.randn_like(smooth)).requires_grad_()
    sent = coded(smooth + noise)
    assert (coded(smooth) - smooth).abs().mean() < 0.02  # a smooth picture passes
    assert (sent - smooth).detach()[:, 0].std() < 0.8 * 0.3  # of red's noise, colour at half the resolution is lost
    sent.sum().backward()
    assert torch.equal(noise.grad, torch.ones_like(noise))
