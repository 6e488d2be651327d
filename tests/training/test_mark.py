"""A key finds its own mark, through what a codec leaves of it, and no other key does."""

import numpy as np
import pytest
import torch

from training.bands import GRAIN, Bands
from training.keys import random_keys
from training.mark import MARKED, NOISE, Mark

FACES = 64


@pytest.fixture(scope="module")
def mark(space) -> Mark:
    return Mark(Bands(space))


@pytest.fixture(scope="module")
def keys():
    return random_keys(FACES, np.random.default_rng(0))


def surrogates(mark: Mark, keys, noise: float = 0.0) -> list[torch.Tensor]:
    """Components of detail that varies as phase 1 found it, marked, and with noise of a codec (toned range)."""
    torch.manual_seed(0)
    bands, sent = mark.bands, []
    for portion in range(GRAIN):
        spread, damping = bands.spread(portion), bands.damping(portion)
        marked = spread * torch.randn(FACES, len(spread)) + mark.added(portion, keys.mark)
        shown = bands.unfold(portion, marked) * damping
        sent.append(bands.components(portion, (shown + noise * torch.randn_like(shown)) / damping))
    return sent


def trust(mark: Mark, sent: list[torch.Tensor], signs: torch.Tensor) -> torch.Tensor:
    return mark.trust(mark.evidence(sent, signs))


@pytest.mark.parametrize("noise", [0.0, NOISE / 8, NOISE / 4])
def test_a_key_finds_its_own_mark_alone(mark, keys, noise):
    sent = surrogates(mark, keys, noise)
    assert (trust(mark, sent, keys.mark) == 1).all()
    for seed in range(1, 11):
        wrong = random_keys(FACES, np.random.default_rng(seed))
        assert trust(mark, sent, wrong.mark).mean() < 0.005


def test_a_key_finds_its_own_mark_under_noise_of_half_the_detail(mark):
    torch.manual_seed(0)
    bands = mark.bands
    keys, wrong = (random_keys(6, np.random.default_rng(seed)) for seed in (0, 1))
    sent = []
    for i in range(GRAIN):
        detail, noise = bands.spread(i) * torch.randn(2, 6, bands.sizes[i])
        sent.append(detail + mark.added(i, keys.mark) + 0.5 * noise)
    for guess, expected in ((keys, 1.0), (wrong, 0.0)):
        torch.testing.assert_close(trust(mark, sent, guess.mark), torch.full((6, 1), expected))


def test_a_mark_that_is_gone_is_not_found(mark, keys):
    assert trust(mark, surrogates(mark, keys, 20 * NOISE), keys.mark).mean() < 0.05
    unmarked = [part - mark.added(i, keys.mark) for i, part in enumerate(surrogates(mark, keys))]
    assert trust(mark, unmarked, keys.mark).mean() < 0.005


def test_what_nobody_expects_counts_no_more_than_the_rest(mark, keys):
    """A hat, or a hand before the face: single components are far off."""
    sent, wrong = surrogates(mark, keys), random_keys(FACES, np.random.default_rng(1))
    for portion in MARKED:
        sent[portion][:, :12] += 50 * torch.randn(FACES, 12)
    assert (trust(mark, sent, keys.mark) == 1).all()
    assert trust(mark, sent, wrong.mark).mean() < 0.01


def test_the_mark_is_fainter_than_what_it_is_laid_over(mark, keys):
    bands = mark.bands
    sent, added = surrogates(mark, keys), [mark.added(i, keys.mark).expand(FACES, -1) for i in range(GRAIN)]

    def shown(components: list[torch.Tensor]) -> torch.Tensor:
        parts = zip(components, bands.sizes[:GRAIN], strict=True)
        hidden = [bands.unfold(i, part.expand(FACES, size)) * bands.damping(i) for i, (part, size) in enumerate(parts)]
        return bands.to_window(*bands.show(hidden)).square().mean().sqrt()

    assert 0 < shown(added) < shown(sent)
    assert shown(added) < 2.5 * 2 / 255
