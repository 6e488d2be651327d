"""Reads five landmarks off a crop: a surrogate must have its eyes, nose and mouth where the original has them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfm_edge.align import TEMPLATE
from training.data import FaceSet, mirrored, to_tensor
from training.style_space import window

__all__ = ["LandmarkReader", "train_landmark_reader"]


class LandmarkReader(nn.Module):
    """(N,3,128,128) RGB in -1..1 -> landmarks (N,5,2), crop px."""

    def __init__(self) -> None:
        super().__init__()
        channels = [12, 32, 64, 96, 128]
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers)  # (N,128,3,3)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(128 * 9, 128), nn.SiLU(), nn.Linear(128, 10))
        self.register_buffer("template", torch.tensor(TEMPLATE, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.template + 4 * self.head(self.trunk(window(x))).view(-1, 5, 2)


def train_landmark_reader(faces: FaceSet, *, steps: int, rng: np.random.Generator) -> LandmarkReader:
    """Batches of 64, half of them mirrored, shifted by a few px, some blurred; returns it frozen."""
    net = LandmarkReader().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        index = rng.integers(0, len(faces), 64)
        crops, landmarks = faces.crops[index], faces.landmarks[index]
        if rng.random() < 0.5:
            crops, landmarks = mirrored(crops, landmarks)
        shift = torch.from_numpy(rng.normal(0, 2, (64, 1, 2)).astype(np.float32))
        theta = torch.cat([torch.eye(2).expand(64, 2, 2), -shift.transpose(1, 2) / 64], 2)
        grid = F.affine_grid(theta, [64, 3, 128, 128], align_corners=False)
        x = F.grid_sample(to_tensor(crops), grid, align_corners=False, padding_mode="border")
        if rng.random() < 0.3:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        loss = (net(x) - torch.from_numpy(landmarks) - shift).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval().requires_grad_(False)
