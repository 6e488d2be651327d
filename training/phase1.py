"""Phase 1 (paper section 3.1): the style classifier C, multi-task over identity and attributes; with it the style space
and that of identities, which stay as they are in phase 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.factors import ATTRIBUTES
from training.config import Config
from training.data import FaceSet, to_tensor
from training.fit_identity import fit_identity
from training.fit_style_space import fit_style_space
from training.identity import IdentitySpace
from training.recogniser import Recogniser
from training.style_space import StyleSpace, window

__all__ = ["Phase1", "StyleClassifier", "train_classifier"]


class StyleClassifier(nn.Module):
    """(N,3,128,128) -> identity logits (N,I) and attribute logits (N,A)."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        channels = [12, 32, 64, 128]
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers)  # (N,128,6,6)
        self.features = nn.Linear(128 * 36, 128)
        self.identity = nn.Linear(128, identities)
        self.attributes = nn.Linear(128, len(ATTRIBUTES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.trunk(window(x)).flatten(1)
        h = self.features(h)
        return self.identity(h), self.attributes(h)


def train_classifier(faces: FaceSet, *, steps: int, rng: np.random.Generator) -> StyleClassifier:
    """Train C with cross-entropy on both tasks, batches of 64, mirrored at random; returns it frozen."""
    net = StyleClassifier(int(faces.identities.max()) + 1)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        index = rng.integers(0, len(faces), 64)
        x = to_tensor(faces.crops[index])
        if rng.random() < 0.5:
            x = x.flip(3)
        identity, attributes = net(x)
        loss = 0.1 * F.cross_entropy(identity, torch.from_numpy(faces.identities[index]))
        loss = loss + F.binary_cross_entropy_with_logits(attributes, torch.from_numpy(faces.attributes[index]).float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class Phase1:
    """What phase 1 leaves to phase 2: the style space, that of identities, and where the paper's losses on it have a
    weight, the frozen classifier."""

    space: StyleSpace
    identity: IdentitySpace
    classifier: StyleClassifier | None

    @staticmethod
    def train(faces: FaceSet, recogniser: Recogniser, config: Config) -> Phase1:
        return Phase1(fit_style_space(faces), fit_identity(faces, recogniser), None).complete(faces, config)

    def complete(self, faces: FaceSet, config: Config) -> Phase1:
        """With the classifier, trained if it is missing and a loss asks for it."""
        if self.classifier is not None or not (config.weights.adv or config.weights.domain_cls):
            return self
        rng = np.random.default_rng(config.seed)
        return replace(self, classifier=train_classifier(faces, steps=config.phase1_steps, rng=rng))

    def state(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"identity": asdict(self.identity)}
        if self.classifier is not None:
            parts["classifier"] = self.classifier.state_dict()
        return parts | self.space.tensors()

    @staticmethod
    def load(state: Mapping[str, Any]) -> Phase1:
        """The inverse of `state`."""
        classifier = None
        if "classifier" in state:
            classifier = StyleClassifier(len(state["classifier"]["identity.bias"]))
            classifier.load_state_dict(state["classifier"])
            classifier.eval().requires_grad_(False)
        return Phase1(StyleSpace.load(state), IdentitySpace(**state["identity"]), classifier)
