"""Multi-task patch discriminators V (paper section 3.1): is each patch real, and which attributes has the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mfm_edge.factors import ATTRIBUTES
from training import efficientnet, face_mesh, recogniser
from training.style_space import window

__all__ = ["Discriminators", "FeatureDiscriminator", "PatchDiscriminator", "ProjectedDiscriminator", "Seen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces, as discriminators see them: pixels (N,3,128,128) RGB in -1..1, and the maps of the recogniser, of the mesh
    and of the ImageNet network."""

    pixels: Tensor
    features: list[Tensor]
    shapes: list[Tensor]
    looks: list[Tensor]

    def detach(self) -> Seen:
        maps = ([m.detach() for m in maps] for maps in (self.features, self.shapes, self.looks))
        return Seen(self.pixels.detach(), *maps)


class Discriminators(nn.Module):
    """All of them: what is seen of faces -> by name, each one's score maps and attribute logits (N,A)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = PatchDiscriminator()
        self.features = FeatureDiscriminator(recogniser.FEATURE_CHANNELS)
        self.shapes = FeatureDiscriminator(face_mesh.CHANNELS)
        self.projected = ProjectedDiscriminator()

    def forward(self, seen: Seen) -> Mapping[str, tuple[list[Tensor], Tensor]]:
        return {
            "features": self.features(seen.features),
            "shapes": self.shapes(seen.shapes),
            "patches": self.patches(seen.pixels),
            "projected": self.projected(seen.looks),
        }


class PatchDiscriminator(nn.Module):
    """On pixels of the window: (N,3,128,128) -> patch scores (N,1,6,6) and attribute logits (N,A)."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 6 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.patches = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))
        self.attributes = nn.Linear(channels[-1], len(ATTRIBUTES))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        h = self.trunk(window(x))
        return [self.patches(h)], self.attributes(h.mean((2, 3)))


class FeatureDiscriminator(nn.Module):
    """Heads on the feature maps of a frozen network that knows faces: the recogniser's make faces look like faces
    within minutes of training, the mesh's see the shape of eyes, nose and mouth.

    channels: of its three maps -> three maps of patch scores, and attribute logits (N,A) from the deepest.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList([_head(c, s) for c, s in zip(channels, (2, 1, 1), strict=True)])
        self.attributes = _attributes(channels[-1])

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        return [head(f) for head, f in zip(self.heads, features, strict=True)], self.attributes(_pooled(features))


class ProjectedDiscriminator(nn.Module):
    """Heads on random mixtures of a frozen ImageNet network's feature maps (Sauer et al. 2021, "Projected GANs converge
    faster"), which sees colour, hair and skin, as the recogniser does not.

    What `EfficientNet.look` sees -> four maps of patch scores, and attribute logits (N,A) from the deepest.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.mix = nn.ModuleList(nn.Conv2d(c, width, 1, bias=False) for c in efficientnet.CHANNELS)
        self.blend = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in efficientnet.CHANNELS[1:])
        for layer in (*self.mix, *self.blend):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            layer.requires_grad_(False)
        self.heads = nn.ModuleList(_head(width, stride) for stride in (2, 1, 1, 1))
        self.attributes = _attributes(efficientnet.CHANNELS[-1])

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        mixed = [mix(f) for mix, f in zip(self.mix, features, strict=True)]
        for level in (2, 1, 0):
            above = F.interpolate(mixed[level + 1], scale_factor=2, mode="bilinear", align_corners=False)
            mixed[level] = self.blend[level]((mixed[level] + above) / 2**0.5)
        return [head(m) for head, m in zip(self.heads, mixed, strict=True)], self.attributes(_pooled(features))


def _head(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, 64, 3, stride, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(64, 64, 3, 2, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(64, 1, 3, 1, 1)),
    )


def _pooled(maps: list[Tensor]) -> Tensor:
    """The deepest map (N,C,h,w) -> (N,2C)."""
    return torch.cat([maps[-1].mean((2, 3)), maps[-1].amax((2, 3))], 1)


def _attributes(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels * 2, 128), nn.SiLU(), nn.Linear(128, len(ATTRIBUTES)))
