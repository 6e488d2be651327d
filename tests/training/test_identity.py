"""Whose features are drawn: read off embeddings, told by key bits, drawn by the decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfm_edge.style import IDENTITY, original_signature
from training.data import FaceSet, to_tensor
from training.fit_identity import fit_identity
from training.identity import IdentityInjection
from training.keys import random_keys
from training.networks import Modifier
from training.style_encoder import OUTSPOKEN
from training.style_space import StyleSpace


class Known(torch.nn.Module):
    """A recogniser that gives embeddings in turn, whatever it sees."""

    def __init__(self, embeddings: torch.Tensor) -> None:
        super().__init__()
        self.left = list(embeddings)

    def forward(self, x: torch.Tensor, view: object) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return torch.stack([self.left.pop(0) for _ in x]), []


def test_numbers_tell_people_apart_not_pictures_or_attributes() -> None:
    rng = np.random.default_rng(0)
    people, pictures = 1000, 4
    whose = np.repeat(np.arange(people), pictures)
    attributes = rng.random((people * pictures, 17)) < 0.5
    axes = np.linalg.qr(rng.standard_normal((128, 128)))[0]
    persons = rng.standard_normal((people, IDENTITY)) @ axes[:IDENTITY]
    light = rng.standard_normal((people * pictures, 40)) @ axes[IDENTITY : IDENTITY + 40]
    told = 2 * attributes @ axes[100:117]
    embeddings = torch.from_numpy((persons[whose] + light + told + 1).astype(np.float32))
    blank = np.zeros((len(whose), 1, 1, 3), np.uint8)
    faces = FaceSet(blank, whose, attributes, np.zeros((len(whose), 5, 2), np.float32))
    space = fit_identity(faces, Known(embeddings))
    numbers = space.numbers(embeddings, torch.from_numpy(attributes))
    assert numbers.shape == (len(whose), IDENTITY)
    mean = numbers.view(people, pictures, IDENTITY).mean(1)
    assert (numbers - mean[whose]).square().mean() < 0.1 * mean.var(0).mean()  # of one person they hardly differ
    torch.testing.assert_close(mean.var(0), torch.ones(IDENTITY), atol=0.35, rtol=0)
    opposite = embeddings + torch.from_numpy(2 * (~attributes @ axes[100:117]) - told).float()
    other = space.numbers(opposite, torch.from_numpy(~attributes))
    assert (other - numbers).square().mean() < 0.05


def test_an_original_adds_nothing_and_a_key_its_first_bits(space: StyleSpace) -> None:
    reader = Modifier(space).style_encoder.reader
    assert not reader.identity(torch.from_numpy(original_signature())[None]).any()
    keys = random_keys(3, np.random.default_rng(0))
    identity = reader.identity(keys.signature_to)
    assert identity.abs().unique() == pytest.approx(OUTSPOKEN) and len(identity.unique(dim=0)) == 3
    asked = torch.randn(3, IDENTITY)
    shown = reader.depict(keys.signature_to, asked)
    torch.testing.assert_close(reader.identity(shown), asked)
    torch.testing.assert_close(reader.depict(shown, identity), keys.signature_to)
    assert reader.surrogate(shown).all() and torch.equal(reader.attributes(shown), keys.attributes)


def test_nothing_asked_for_draws_nothing() -> None:
    torch.manual_seed(0)
    injection = IdentityInjection(channels=8, side=24, features=64, blocks=3)
    for last in (injection.modulate, injection.widen):
        torch.nn.init.normal_(last.weight)
    features, modulations = injection(torch.zeros(2, IDENTITY))
    assert not features.any() and len(modulations) == 3 and not any(m.any() for m in modulations)
    features, modulations = injection(torch.randn(2, IDENTITY))
    assert features.shape == (2, 8, 24, 24) and modulations[0].shape == (2, 128)
    assert (features[0] != features[1]).all() and all((m[0] != m[1]).all() for m in modulations)


@torch.no_grad()
def test_these_bits_alone_draw_another_face_that_the_right_key_takes_back(space: StyleSpace, faces: FaceSet) -> None:
    torch.manual_seed(0)
    network = Modifier(space).eval()
    for last in (network.decoder.identity.modulate, network.decoder.identity.widen):
        torch.nn.init.normal_(last.weight, std=0.3)
    network.decoder.coarse[-1].weight.mul_(10)
    for last in (network.decoder.finish.light[-1], network.decoder.finish.colour):
        last.bias[-1] = -100
    x, places = to_tensor(faces.crops[:4]), torch.from_numpy(faces.landmarks[:4])
    keys, others = (random_keys(4, np.random.default_rng(0)) for _ in range(2))
    reader = network.style_encoder.reader
    others.signature_to[:] = reader.depict(keys.signature_to, -reader.identity(keys.signature_to))
    y, other = network(x, places, *keys.inputs()), network(x, places, *others.inputs())
    assert (y - other).abs().mean() > 0.01
    assert (network(y, places, *keys.inverse().inputs()) - x).abs().max() < 0.02
    assert (network(y, places, *others.inverse().inputs()) - x).abs().mean() > 0.01
