"""Recognisers that training never used. Their verdicts are the only ones that count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mfm_edge.align import TEMPLATE

__all__ = ["JUDGES", "Judge", "unseen_judges"]

# ArcFace's template, 112 px: both eyes, nose tip, mouth corners.
ARCFACE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
DLIB = np.array([(46.2, 47.6), (106.1, 48.3), (75.4, 80.1), (50.5, 105.5), (102.3, 106.0)])


@dataclass(frozen=True, slots=True)
class _Recogniser:
    file: str
    template: NDArray[np.float64]
    side: int
    threshold: float  # similarity from which two faces are one person, false-accept rate 0.1 % on LFW
    used_in_training: bool
    tolerance: float | None = None  # of the Euclidean distance that the recogniser's own toolkit compares with


JUDGES = {
    "SFace": _Recogniser("sface_2021dec.fp16.pt", ARCFACE, 112, 0.357, False),
    "MobileFaceNet": _Recogniser("mobilefacenet_tf192.fp16.pt", ARCFACE, 112, 0.416, False),
    "dlib (used in training)": _Recogniser("dlib_resnet_v1.fp16.pt", DLIB, 150, 0.915, True, tolerance=0.6),
}


_BATCH = 4  # faces: of 32, each takes 1.3 to 2 times as long, for the processor's caches


class Judge:
    """Compares faces: `embed` once, then `same` against the fixed threshold. `distance` is what the paper lists,
    one person up to `tolerance`: 1 - cosine, or the Euclidean distance of a toolkit that defines one."""

    def __init__(self, name: str, models: Path) -> None:
        spec = JUDGES[name]
        self.name, self.threshold, self.used_in_training = name, spec.threshold, spec.used_in_training
        self._euclidean = spec.tolerance is not None
        self.tolerance = 1 - spec.threshold if spec.tolerance is None else spec.tolerance
        net = torch.jit.load(str(models / spec.file)).float().eval()
        self._net = torch.jit.optimize_for_inference(torch.jit.freeze(net))  # folds what follows convolutions
        self._grid = _grid(spec.template, spec.side)

    def embed(self, crops: NDArray[np.uint8]) -> Tensor:
        """(N, 128, 128, 3) uint8 RGB crops in the project's geometry -> (N, D) unit vectors."""
        return F.normalize(self._raw(crops))

    def distance(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N,) distances of crops a and b, row by row."""
        if self._euclidean:
            return (self._raw(a) - self._raw(b)).norm(dim=1).double().numpy()
        return 1 - (self.embed(a) * self.embed(b)).sum(1).double().numpy()

    @torch.no_grad()
    def _raw(self, crops: NDArray[np.uint8]) -> Tensor:
        found = []
        for start in range(0, len(crops), _BATCH):
            x = torch.from_numpy(np.ascontiguousarray(crops[start : start + _BATCH])).permute(0, 3, 1, 2).float()
            chip = F.grid_sample(x, self._grid.expand(len(x), -1, -1, -1), align_corners=False, padding_mode="border")
            out = self._net(chip)
            found.append(out[0] if isinstance(out, tuple) else out)
        return torch.cat(found)

    def same(self, a: Tensor, b: Tensor) -> NDArray[np.bool_]:
        """(N,) bool: row i of a and row i of b are judged to be one person."""
        return ((a * b).sum(1) >= self.threshold).numpy()


def unseen_judges(models: Path) -> list[Judge]:
    """Those that training never used, from the recognisers' folder."""
    return [Judge(name, models) for name, spec in JUDGES.items() if not spec.used_in_training]


def _grid(template: NDArray[np.float64], side: int) -> Tensor:
    """(1, side, side, 2): where the recogniser's chip lies in our crop, by the best similarity of the two templates."""
    source, target = template - template.mean(0), TEMPLATE - TEMPLATE.mean(0)
    p, q = source @ [1, 1j], target @ [1, 1j]
    turn = (p.conj() * q).sum() / (abs(p) ** 2).sum()
    xs, ys = np.meshgrid(np.arange(side), np.arange(side))
    points = ((xs + 1j * ys) - template.mean(0) @ [1, 1j]) * turn + TEMPLATE.mean(0) @ [1, 1j]
    grid = np.stack([points.real, points.imag], -1)
    return torch.from_numpy(((grid + 0.5) / 128 * 2 - 1).astype(np.float32))[None]
