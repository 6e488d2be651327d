"""Traits of the key's person: shown in the face, as faces vary, and taken off again by the same key."""

import numpy as np
import pytest
import torch

from training.bands import COARSE, Bands
from training.keys import random_keys
from training.mark import MARKED
from training.networks import Modifier
from training.style_space import window
from training.traits import COUNT, STRENGTH, Traits


@pytest.fixture(scope="module")
def traits(space) -> Traits:
    return Traits(Bands(space))


@pytest.fixture(scope="module")
def keys():
    return random_keys(4, np.random.default_rng(0))


def test_they_vary_as_faces_do_and_fade_towards_the_rim(traits, keys):
    bands, found = traits.bands, traits(keys.mark)
    whole = bands.components(COARSE, found / bands.share.clamp_min(1e-6))
    inside = bands.share > 0
    assert (found[:, ~inside] == 0).all() and found[:, inside].abs().amax(0).min() > 0
    if inside.all():
        size = STRENGTH * bands.spread(COARSE)[:COUNT]
        torch.testing.assert_close(whole[:, :COUNT].abs(), size.expand(4, -1), atol=1e-2, rtol=1e-2)


def test_they_are_told_apart_from_the_mark(traits, keys):
    other = keys.mark.clone()
    for portion in MARKED:
        other[:, traits.bands.key_places(portion)] *= -1
    torch.testing.assert_close(traits(other), traits(keys.mark))


def test_nobody_has_none(traits, keys):
    mark = keys.mark.clone()
    traits.leave_out(mark)
    assert (traits(mark) == 0).all() and (mark[:, traits.bands.key_places(COARSE)].abs() == 1).all()


@torch.no_grad()
def test_other_traits_are_another_face_and_the_right_ones_come_off(space, faces):
    torch.manual_seed(0)
    network, n = Modifier(space), 4
    network.decoder.traits.get_buffer("size").div_(STRENGTH)  # as strong as in faces
    for last in (network.decoder.finish.light[-1], network.decoder.finish.colour):
        last.bias[-1] = -100  # no last touch
    x = torch.from_numpy(faces.crops[:n]).permute(0, 3, 1, 2).float() / 127.5 - 1
    places, keys = torch.from_numpy(faces.landmarks[:n]), random_keys(n, np.random.default_rng(0))
    y = network(x, places, *keys.inputs())
    plain = random_keys(n, np.random.default_rng(0))
    network.decoder.traits.leave_out(plain.mark)
    difference = window(network(x, places, *plain.inputs()) - y).abs().mean()
    assert difference > 0.02
    back = network(y, places, *keys.inverse().inputs())
    assert (back - x).abs().max() < 0.25 / 127.5
    without = network(y, places, *plain.inverse().inputs())
    assert window(without - x).abs().mean() > difference / 2
