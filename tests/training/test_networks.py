"""The modifier is exactly invertible, whatever its weights: restoring rests on this and on nothing that was learned."""

import numpy as np
import pytest
import torch

from mfm_edge.style import NEIGHBOURS, expand
from training.keys import Keys, random_keys
from training.networks import LEFT, SIDE, TOP, Modifier, repeat_add
from training.style_space import luminance


@pytest.fixture
def network(space) -> Modifier:
    """Random weights, and detail as strong as a trained network's."""
    torch.manual_seed(0)
    network = Modifier(space)
    with torch.no_grad():
        network.decoder.out[-1].weight.mul_(10)
    return network.train()  # not clamped


@pytest.fixture
def x(faces) -> torch.Tensor:
    return torch.from_numpy(faces.crops[:6]).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture
def keys(x) -> Keys:
    return random_keys(len(x), np.random.default_rng(0))


@torch.no_grad()
def test_the_right_key_turns_back_exactly(network, x, keys):
    y = network(x, *keys.inputs())
    assert (y - x)[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE].abs().mean() > 0.03
    assert (network(y, *keys.inverse().inputs()) - x).abs().max() < 1e-4


@torch.no_grad()
def test_rounding_to_uint8_costs_little(network, x, keys):
    x = x * 0.4  # nothing is clipped
    y = network(x, *keys.inputs())
    assert y.abs().max() < 1
    rounded = ((y + 1) * 127.5).round() / 127.5 - 1
    restored = network(rounded, *keys.inverse().inputs())
    assert 10 * torch.log10(4 / (restored - x).square().mean()) > 38


@torch.no_grad()
@pytest.mark.parametrize("wrong", ["rotation", "order", "signs", "signature_to"])
def test_a_wrong_key_does_not(network, x, keys, wrong):
    """Every part of the key is needed: with the two others right, the original does not come back."""
    other = random_keys(len(x), np.random.default_rng(1))
    guess = Keys(**{name: getattr(other if name == wrong else keys, name) for name in Keys.__slots__})
    y = network(x, *keys.inputs())
    restored = network(y, *guess.inverse().inputs())
    assert (restored - x).abs().mean() > 100 * (network(y, *keys.inverse().inputs()) - x).abs().mean()


@torch.no_grad()
def test_the_encoder_sees_the_same_in_both_directions(network, x, keys):
    y = network(x, *keys.inputs())
    one, two = network.content_encoder.visible(x), network.content_encoder.visible(y)
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)
    style_from, style_to = network.style_encoder(x, keys.rotation, keys.signature_from, keys.signature_to)
    back = keys.inverse()
    styles = network.style_encoder(y, back.rotation, back.signature_from, back.signature_to)
    torch.testing.assert_close(styles[0], style_to, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(styles[1], style_from, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_what_the_network_draws_leaves_all_else_alone(network, x):
    """Whatever it draws, coarse luminance and the detail around the face stay: restoring reads both."""
    bands = network.decoder.bands
    hidden = bands.hidden(bands.coefficients(torch.randn(6, 1, 48, 48)))
    assert 0.2 < (hidden != 0).float().mean() < 0.8
    other = network.decoder.draw(x, bands.grid(bands.show(hidden)))
    coordinates = network.style_encoder.coordinates
    torch.testing.assert_close(coordinates(other), coordinates(x), atol=1e-3, rtol=0)
    before, after = network.content_encoder.visible(x), network.content_encoder.visible(other)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    was, now = (bands.hidden(bands.coefficients(_grid(picture))) for picture in (x, other))
    torch.testing.assert_close(now - was, hidden, atol=1e-4, rtol=0)


@torch.no_grad()
def test_shuffling_stays_within_the_hidden_part_and_among_neighbours(network, keys):
    bands = network.decoder.bands
    hidden = bands.hidden(torch.randn(6, 1, 48, 48))
    shuffled = bands.shuffle(hidden, keys.order, keys.signs)
    back = keys.inverse()
    torch.testing.assert_close(bands.shuffle(shuffled, back.order, back.signs), hidden, atol=1e-6, rtol=0)
    assert abs(np.corrcoef(shuffled.flatten(), hidden.flatten())[0, 1]) < 0.05
    groups = bands.slots.view(-1, NEIGHBOURS)
    rows, columns = groups // 48, groups % 48
    near = (rows.amax(1) - rows.amin(1) < 9) & (columns.amax(1) - columns.amin(1) < 9)
    assert near.float().mean() > 0.8


def _grid(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(luminance(x[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE]), 2)


@torch.no_grad()
def test_coefficients_and_grid_are_inverse(network):
    bands = network.decoder.bands
    grid, coarse = torch.randn(3, 1, 48, 48), torch.randn(3, 1, 12, 12)
    torch.testing.assert_close(bands.grid(bands.coefficients(grid)), grid, atol=1e-5, rtol=0)
    back = bands.coefficients(bands.grid(coarse))
    torch.testing.assert_close(back[:, :, :12, :12], coarse, atol=1e-5, rtol=0)
    back[:, :, :12, :12] = 0
    assert back.abs().max() < 1e-5


@torch.no_grad()
def test_coordinates_turn_and_their_distance_from_the_mean_is_evened_out(network, x, keys):
    encoder = network.style_encoder
    own = (
        encoder.coordinates(x)
        / encoder.coordinates(x).norm(dim=1, keepdim=True)
        * 6
        * torch.tensor([0.2, 0.5, 1, 1.5, 2, 4])[:, None]
    )
    turned = encoder.turn(own, keys.rotation, keys.signature_to)
    assert turned.norm(dim=1).std() < 0.6 * own.norm(dim=1).std()
    back = keys.inverse()
    torch.testing.assert_close(encoder.turn(turned, back.rotation, back.signature_to), own, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_style_code_reads_back_from_the_summed_latent(network, x):
    style = torch.randn(len(x), 1024)
    latent = repeat_add(network.content_encoder(x), style)
    assert latent.shape == (len(x), 256, 32, 32)
    torch.testing.assert_close(latent.mean(1).flatten(1), style, atol=1e-5, rtol=0)


@torch.no_grad()
def test_decoder_draws_the_coarse_change_that_the_style_codes_ask_for(network, x, keys):
    y = network(x, *keys.inputs())
    encoder = network.style_encoder
    turned = encoder.turn(encoder.coordinates(x), keys.rotation, keys.signature_to)
    torch.testing.assert_close(encoder.coordinates(y), turned, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_nothing_outside_the_window_changes(network, x):
    key = expand(b"k" * 32, np.zeros(17, np.float32))
    parts = (key.rotation, key.order, key.signs, key.signature_from, key.signature_to)
    y = network(x, *(torch.from_numpy(part).expand(len(x), *part.shape) for part in parts))
    change = (y - x).abs().amax((0, 1))
    change[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = 0
    assert change.max() == 0
