"""Bounds of mutual information against normal distributions, of which it is known: -log(1 - correlation^2) / 2 each."""

import math

import numpy as np
import pytest
import torch

from training.information import Gaussian, Information, lower_bound, surplus, upper_bound

SIZE, BATCH = 3, 64


def pairs(correlation: float | torch.Tensor, count: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    c, noise = torch.randn(2, count, SIZE)
    return c, correlation * c + (1 - correlation**2) ** 0.5 * noise


def mutual_information(correlation: float) -> float:
    return -SIZE * math.log(1 - correlation**2) / 2


def fitted(loss, *networks: Gaussian, steps: int = 300) -> None:
    optimiser = torch.optim.Adam([p for network in networks for p in network.parameters()], 1e-2)
    for i in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - i / steps)
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


def fitted_lower(correlation: float) -> Gaussian:
    torch.manual_seed(0)
    q, own = Gaussian(SIZE, given=SIZE, hidden=32), torch.arange(BATCH)
    fitted(lambda: -lower_bound(q, *pairs(correlation), own), q)
    return q


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.7])
def test_the_lower_bound_is_below_the_information_and_near_it(correlation):
    q, true = fitted_lower(correlation), mutual_information(correlation)
    with torch.no_grad():
        c, z = pairs(correlation, 200 * BATCH)
        parts = zip(c.split(BATCH), z.split(BATCH), strict=True)
        found = float(np.mean([lower_bound(q, *part, torch.arange(BATCH)) for part in parts]))
    assert true - 0.12 < found < true + 0.02


def test_the_lower_bound_never_says_more_than_its_candidates_can_tell_apart():
    q = Gaussian(SIZE, given=SIZE)
    with torch.no_grad():
        q.log_spread.fill_(-9)
        c = torch.randn(8, SIZE)
        q.mean[-1].bias.copy_(c[3])
        assert lower_bound(q, c, c[3:4], torch.tensor([3])) == pytest.approx(math.log(8))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_what_is_kept_is_near_the_information_and_below_equation_17s_upper_bound(correlation):
    """z has another mean and spread than r, so that the upper bound is off by just that."""
    torch.manual_seed(0)
    q, marginal = Gaussian(SIZE, given=SIZE, hidden=32), Gaussian(SIZE, given=0)

    def moved(count: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
        c, z = pairs(correlation, count)
        return c, 1.5 * z + 1

    def loss() -> torch.Tensor:
        c, z = moved()
        return -(q(z, c) + marginal(z)).mean()

    fitted(loss, q, marginal)
    true, gap = mutual_information(correlation), SIZE * (1.5**2 + 1 - 1 - 2 * math.log(1.5)) / 2
    with torch.no_grad():
        c, z = moved(20_000)
        upper, found = float(upper_bound(q, c, z)), float(upper_bound(q, c, z) - surplus(marginal, z))
    assert found == pytest.approx(true, abs=0.1) and upper == pytest.approx(true + gap, abs=0.1)


def test_gradients_point_to_less_information_and_to_more():
    """After fitting at one correlation, a little more correlation raises both bounds."""
    q = fitted_lower(0.6)
    correlation = torch.tensor(0.6, requires_grad=True)
    lower_bound(q, *pairs(correlation), torch.arange(BATCH)).backward()
    assert correlation.grad > 0.5
    kept, marginal = Gaussian(SIZE, given=SIZE, hidden=32), Gaussian(SIZE, given=0)
    fitted(lambda: -(lambda c, z: kept(z, c) + marginal(z))(*pairs(0.6)).mean(), kept, marginal)
    correlation.grad = None
    c, z = pairs(correlation, 5000)
    (upper_bound(kept, c, z) - surplus(marginal, z)).backward()
    assert correlation.grad > 0.5


def test_terms_pay_for_hiding_and_for_restoring_but_not_for_fooling():
    torch.manual_seed(0)
    bounds, pick = Information(size=SIZE), torch.tensor([4, 1])
    optimiser = torch.optim.Adam(bounds.parameters(), 1e-2)
    for i in range(300):  # surrogates are the originals themselves, other scale and place; so is what comes back
        c = 0.1 * torch.randn(8, SIZE) + 2
        optimiser.zero_grad()
        bounds.loss(c, c, c[pick] + 0.02 * torch.randn(2, SIZE), pick, ("wrong key", "right key")[i % 2]).backward()
        optimiser.step()
    c = 0.1 * torch.randn(8, SIZE) + 2
    bounds.requires_grad_(False)
    told = bounds.terms(c, c, c[pick], pick, "wrong key")
    assert told.keys() == {"information_anonymised", "information_wrong"}
    assert all(1 < float(term) <= math.log(8) for term in told.values())
    fooled = bounds.terms(c, -c + 4, c[pick.flip(0)], pick, "wrong key")
    assert all(float(term) == 0 for term in fooled.values())
    back = bounds.terms(c, c, c[pick], pick, "right key")["information_restored"]
    lost = bounds.terms(c, c, c[pick.flip(0)], pick, "right key")["information_restored"]
    assert back < -1 and lost > back + 1
    assert bounds.terms(c, c, c[pick], pick, "other identity").keys() == {"information_anonymised"}
