"""An independent judge of facial attributes: a plain network trained on labels of the training identities alone.

Nothing in training resembles it: no frozen recogniser, no spectral norms, 64 px. It says what it takes for
present, and how far it is to be trusted is measured on people that neither it nor the generator has seen.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mfm_edge.factors import ATTRIBUTES
from training.data import FaceSet
from training.timed_fit import timed_fit

__all__ = ["AttributeJudge", "balanced_accuracy", "balanced_cross_entropy"]

_SIDE = 64
_HELD_OUT = 10  # every tenth person sets the thresholds instead of the weights


class AttributeJudge:
    """`present` says which attributes a face has. Made by `train`, kept by `save`, had again by `load`."""

    def __init__(self, network: nn.Module, thresholds: NDArray[np.float32]) -> None:
        self._net, self._thresholds = network.eval(), thresholds

    @staticmethod
    def train(faces: FaceSet, *, minutes: float, seed: int = 0) -> AttributeJudge:
        """faces: of the training identities. Every attribute weighs the same present and absent, and its threshold is
        where both are got wrong equally often among people held out."""
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        held = faces.identities % _HELD_OUT == 0
        pictures, labels = _small(faces.crops[~held]), torch.from_numpy(faces.attributes[~held]).float()
        share = labels.mean(0)
        network = _network()

        def loss() -> Tensor:
            pick = torch.randint(len(pictures), (64,), generator=generator)
            logits = network(_varied(_scaled(pictures[pick]), generator))
            return balanced_cross_entropy(logits, labels[pick], share)

        timed_fit(network, loss, minutes=minutes)
        judge = AttributeJudge(network, np.zeros(len(ATTRIBUTES), np.float32))
        return AttributeJudge(network, _equal_error(judge.scores(faces.crops[held]), faces.attributes[held]))

    @torch.no_grad()
    def scores(self, crops: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """(N, 128, 128, 3) uint8 RGB -> (N, 17) logits as ATTRIBUTES; a face and its mirror image agree."""
        small = _small(crops)
        parts = []
        for start in range(0, len(small), batch):
            x = _scaled(small[start : start + batch])
            parts.append((self._net(x) + self._net(x.flip(3))) / 2)
        return torch.cat(parts).numpy()

    def present(self, crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(N, 128, 128, 3) uint8 RGB -> (N, 17) bool in the order of ATTRIBUTES."""
        return self.scores(crops) > self._thresholds

    def save(self, path: Path) -> None:
        torch.save({"network": self._net.state_dict(), "thresholds": torch.from_numpy(self._thresholds)}, path)

    @staticmethod
    def load(path: Path) -> AttributeJudge:
        state = torch.load(path, weights_only=True)
        network = _network()
        network.load_state_dict(state["network"])
        return AttributeJudge(network, state["thresholds"].numpy())


def balanced_cross_entropy(logits: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """Of logits and labels in {0, 1} (N, A), of attributes that so many have (A,). Rare ones count as much as frequent
    ones: a logit of 0 means as likely as not where half have it."""
    share = share.clamp(0.01, 0.99)
    weight = labels / share + (1 - labels) / (1 - share)
    return F.binary_cross_entropy_with_logits(logits, labels, weight / 2)


def balanced_accuracy(found: NDArray[np.bool_], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, A) each -> (A,) mean of the shares got right among those that have an attribute and those that have not; NaN
    where all or none have it."""
    have, lack = labels.sum(0), (~labels).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((found & labels).sum(0) / have + (~found & ~labels).sum(0) / lack) / 2


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise((3, 16, 32, 64, 128, 192))):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] if i < 4 else [nn.AdaptiveAvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(192 * 4, len(ATTRIBUTES)))


def _small(crops: NDArray[np.uint8]) -> Tensor:
    """(N, 128, 128, 3) uint8 -> (N, 3, 64, 64) uint8."""
    small = np.stack([cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for crop in crops])
    return torch.from_numpy(small).permute(0, 3, 1, 2).contiguous()


def _scaled(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _varied(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored, shifted by up to 3 px and in other light, all faces of a batch alike but for the mirroring."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    dx, dy = torch.randint(-3, 4, (2,), generator=generator).tolist()
    light = 1 + 0.1 * torch.randn(len(x), 1, 1, 1, generator=generator)
    return torch.roll(x, (dy, dx), (2, 3)) * light


def _equal_error(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, A) each -> (A,): thresholds at which as large a share of those who have it is missed as of others found."""
    found = []
    for score, label in zip(scores.T, labels.T, strict=True):
        if not 0 < label.sum() < len(label):
            found.append(0.0)
            continue
        at = np.sort(score)
        missed = np.searchsorted(np.sort(score[label]), at, side="right") / label.sum()
        false = 1 - np.searchsorted(np.sort(score[~label]), at, side="right") / (~label).sum()
        found.append(float(at[np.argmin(np.abs(missed - false))]))
    return np.array(found, np.float32)
