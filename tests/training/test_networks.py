"""The modifier is exactly invertible, whatever its weights: restoring rests on this and on nothing that was learned."""

import numpy as np
import pytest
import torch

from mfm_edge.style import expand, signature_cells
from training.keys import random_keys
from training.networks import LEFT, SIDE, TOP, Modifier, repeat_add, windowed
from training.style_space import thumbnail


@pytest.fixture
def network(space) -> Modifier:
    """Random weights, and a change as strong as a trained network's."""
    torch.manual_seed(0)
    network = Modifier(space)
    with torch.no_grad():
        network.decoder.detail[-1].weight.mul_(10)
    return network.train()  # not clamped


@pytest.fixture
def x(faces) -> torch.Tensor:
    return torch.from_numpy(faces.crops[:6]).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def test_the_right_key_turns_back_exactly(network, x):
    keys = random_keys(len(x), np.random.default_rng(0))
    y = network(x, keys.rotation, keys.anonymise)
    assert (y - x)[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE].abs().mean() > 0.03
    restored = network(y, keys.rotation.transpose(1, 2), keys.restore)
    assert (restored - x).abs().max() < 5e-3


@torch.no_grad()
def test_rounding_to_uint8_costs_little(network, x):
    keys = random_keys(len(x), np.random.default_rng(0))
    x = x * 0.4  # nothing is clipped
    y = network(x, keys.rotation, keys.anonymise)
    assert y.abs().max() < 1
    rounded = ((y + 1) * 127.5).round() / 127.5 - 1
    restored = network(rounded, keys.rotation.transpose(1, 2), keys.restore)
    assert 10 * torch.log10(4 / (restored - x).square().mean()) > 38


@torch.no_grad()
@pytest.mark.parametrize("wrong", ["rotation", "bits"])
def test_a_wrong_key_does_not(network, x, wrong):
    """Neither with the rotation alone right, nor with the bits of the signature alone."""
    right, other = (random_keys(len(x), np.random.default_rng(seed)) for seed in (0, 1))
    y = network(x, right.rotation, right.anonymise)
    back = right.rotation.transpose(1, 2)
    rotation = other.rotation.transpose(1, 2) if wrong == "rotation" else back
    restored = network(y, rotation, other.restore if wrong == "bits" else right.restore)
    assert (restored - x).abs().mean() > 10 * (network(y, back, right.restore) - x).abs().mean()


@torch.no_grad()
def test_the_encoder_sees_the_same_picture_in_both_directions(network, x):
    keys = random_keys(len(x), np.random.default_rng(0))
    forward = network.style_encoder(x, keys.rotation, keys.anonymise)
    y = network.modify(x, forward)
    back = network.style_encoder(y, keys.rotation.transpose(1, 2), keys.restore)
    one, two = network.content_encoder.visible(x, forward), network.content_encoder.visible(y, back)
    # float32 through an oblique projection: a little is left, against what changed
    assert (one - two).abs().mean() < 0.02 * (y - x)[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE].abs().mean()
    # The style codes differ in nothing but the direction.
    differs = ((forward - back).abs() > 1e-3).any(0).nonzero().flatten().numpy()
    np.testing.assert_array_equal(differs, signature_cells()[:8])


@torch.no_grad()
def test_free_is_a_projection_that_leaves_coordinates_and_coarse_means_alone(network):
    lifting = network.decoder.lifting
    field = torch.randn(3, 1, 48, 48)
    free = lifting.free(field)
    torch.testing.assert_close(lifting.free(free), free, atol=1e-3, rtol=0)
    assert torch.nn.functional.avg_pool2d(free, 8).abs().max() < 1e-3
    change = torch.zeros(3, 3, 128, 128)
    change[:, :, TOP : TOP + SIDE, LEFT : LEFT + SIDE] = lifting.to_window(free)
    assert network.style_encoder.coordinates(change).abs().max() < 2e-2
    assert free.std() > 0.5  # most of the picture is free


@torch.no_grad()
def test_the_drawn_change_is_exactly_what_the_key_asks_for(network, x):
    keys = random_keys(len(x), np.random.default_rng(0))
    own = network.style_encoder.coordinates(x)
    y = network(x, keys.rotation, keys.anonymise)
    turned = (keys.rotation @ own[:, :, None]).squeeze(2)
    torch.testing.assert_close(network.style_encoder.coordinates(y), turned, atol=2e-2, rtol=0)


@torch.no_grad()
def test_style_code_reads_back_from_the_summed_latent(network, x):
    style = torch.randn(len(x), 1024)
    latent = repeat_add(network.content_encoder(x, style), style)
    assert latent.shape == (len(x), 256, 32, 32)
    torch.testing.assert_close(latent.mean(1).flatten(1), style, atol=1e-5, rtol=0)


@torch.no_grad()
def test_nothing_outside_the_window_changes(network, x):
    key = expand(b"k" * 32, np.zeros(17, np.float32))
    rotation = torch.from_numpy(key.rotation).expand(len(x), -1, -1)
    y = network(x, rotation, torch.from_numpy(key.signature).expand(len(x), -1))
    change = (y - x).abs().amax((0, 1))
    change[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = 0
    assert change.max() == 0


def test_windowed_space_stays_an_exact_inverse(space):
    cut = windowed(space)
    np.testing.assert_allclose(cut.synthesis @ cut.analysis, np.eye(len(cut.synthesis)), atol=1e-3)
    picture = torch.zeros(1, 3, 128, 128)
    picture[:, :, :TOP] = 1
    assert not (thumbnail(picture).flatten(1).numpy() @ cut.analysis).any()
