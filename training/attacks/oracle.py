"""Tell right factors from wrong without knowing the original: a classifier of surrogate and restored face together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.attacks.pairs import Pairs
from training.data import to_tensor
from training.experiments.subject import Crops
from training.style_space import window
from training.timed_fit import timed_fit

__all__ = ["Oracle"]


class Oracle:
    """Made by `train`; `right` says of candidates whether their factors were right."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        self._net, self.steps = network, steps

    @staticmethod
    def train(pairs: Pairs, *, minutes: float, seed: int = 0) -> Oracle:
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        network = _network()

        def loss() -> Tensor:
            pick = torch.randint(len(pairs.x), (16,), generator=generator).numpy()
            candidates = np.concatenate([pairs.r[pick], pairs.w[pick]])
            seen = _seen(np.concatenate([pairs.y[pick]] * 2), candidates)
            if torch.rand((), generator=generator) < 0.5:
                seen = seen.flip(3)
            truth = torch.tensor([1.0] * len(pick) + [0.0] * len(pick))
            return F.binary_cross_entropy_with_logits(network(seen)[:, 0], truth)

        return Oracle(network, timed_fit(network, loss, minutes=minutes))

    @torch.no_grad()
    def right(self, y: Crops, candidates: Crops, batch: int = 32) -> NDArray[np.bool_]:
        """Surrogates and what some factors made of them, (N, 128, 128, 3) uint8 RGB each -> (N,) bool."""
        parts = [slice(start, start + batch) for start in range(0, len(y), batch)]
        return torch.cat([self._net(_seen(y[part], candidates[part]))[:, 0] > 0 for part in parts]).numpy()


def _seen(y: Crops, candidates: Crops) -> Tensor:
    """(N, 9, 96, 96): both pictures of the window, and the candidate's finest detail by itself."""
    a, b = window(to_tensor(y)), window(to_tensor(candidates))
    detail = b - F.avg_pool2d(b, 3, 1, 1, count_include_pad=False)
    return torch.cat([a, b, 4 * detail], 1)


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((9, 32, 48, 64, 96, 128)):
        layers += [
            nn.Conv2d(before, after, 3, 2, 1, bias=False),
            nn.GroupNorm(8, after),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 1))
