"""python -m training.likeness --data FOLDER --out FILE: the small recogniser that comes with the network.

It learns to see what the recogniser sees that training uses (dlib's), in faces of the training identities and in their
surrogates under random keys, and no more than that: the judges of the evaluation stay strangers to it.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.likeness import SIDE, look_at
from training.data import load_faces, models_of
from training.experiments.subject import modify, random_keys
from training.metrics.judges import Judge
from training.timed_fit import timed_fit

__all__ = ["Lookalike", "fit", "main"]

TEACHER = "dlib (used in training)"
SIZE = 128  # of an embedding
BATCH = 64


class Lookalike(nn.Module):
    """(N,3,SIDE,SIDE) RGB in -1..1 -> embedding (N,SIZE): the less alike two faces are, the further apart."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 160)) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, widths[0], 2)]
        for before, after in pairwise(widths):
            layers += [_conv(before, after, 2), Residual(after)]
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-1] * (SIDE >> len(widths)) ** 2, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x).flatten(1))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def fit(
    network: Lookalike, crops: NDArray[np.uint8], embeddings: Tensor, *, minutes: float, seed: int = 0
) -> Lookalike:
    """crops: (N, 128, 128, 3) uint8 RGB. embeddings: (N, SIZE), the teacher's, learned up to a shift and a factor: so
    that over faces they have mean 0 and unit variance, on average over dimensions."""
    generator = torch.Generator().manual_seed(seed)
    wanted = embeddings - embeddings.mean(0)
    wanted = wanted / wanted.square().mean().sqrt()
    pictures = torch.from_numpy(look_at(crops)).permute(0, 3, 1, 2).contiguous()

    def loss() -> Tensor:
        pick = torch.randint(len(pictures), (BATCH,), generator=generator)
        seen = _varied(pictures[pick].float() / 127.5 - 1, generator)
        return F.mse_loss(network(seen.contiguous(memory_format=torch.channels_last)), wanted[pick])

    timed_fit(network, loss, minutes=minutes)
    return network


def _varied(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored, moved, in other light, with noise: a recogniser takes all of that for the same person."""
    n = len(x)
    x = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, x.flip(3), x)
    theta = torch.eye(2, 3).repeat(n, 1, 1)
    theta[:, :, 2] = 0.03 * torch.randn(n, 2, generator=generator)
    theta[:, :, :2] *= 1 + 0.04 * torch.randn(n, 1, 1, generator=generator)
    x = F.grid_sample(
        x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False, padding_mode="border"
    )
    gain = 1 + 0.1 * torch.randn(n, 1, 1, 1, generator=generator)
    offset = 0.05 * torch.randn(n, 1, 1, 1, generator=generator)
    return x * gain + offset + 0.02 * torch.randn(x.shape, generator=generator)


def lessons(
    data: Path, models: Path, *, surrogates: int, limit: int | None, seed: int = 0
) -> tuple[NDArray[np.uint8], Tensor]:
    """Faces of the training identities, then surrogates of some of them, and the teacher's embeddings of all."""
    faces, rng = load_faces(data, "train", limit=limit), np.random.default_rng(seed)
    some = faces.take(rng.permutation(len(faces))[:surrogates])
    made = modify(OnnxEngine(), some.crops, some.landmarks, random_keys(len(some), rng))
    crops = np.concatenate([faces.crops, made])
    return crops, Judge(TEACHER, models).embed(crops)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.likeness", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../models beside data)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, for python -m export.likeness")
    parser.add_argument("--minutes", type=float, default=50, help="of processor time (default 50)")
    parser.add_argument("--surrogates", type=int, default=6000, help="how many to learn from (default 6000)")
    parser.add_argument("--limit", type=int, help="use only the first N training faces")
    parser.add_argument("--start", type=Path, help="file of an earlier run to go on from")
    args = parser.parse_args(argv)
    crops, embeddings = lessons(
        args.data, args.models or models_of(args.data), surrogates=args.surrogates, limit=args.limit
    )
    torch.manual_seed(0)
    network = Lookalike()
    if args.start is not None:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    torch.save(fit(network, crops, embeddings, minutes=args.minutes).state_dict(), args.out)


if __name__ == "__main__":
    main()
