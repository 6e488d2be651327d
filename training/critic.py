"""python -m training.critic --data FOLDER --out FILE: the small network that chooses among surrogates.

From faces of the training identities and their surrogates under random keys it learns what the recogniser sees in them
that training uses (dlib's), how natural the eye would find them (training/ratings.py), and from the labels of the faces
which attributes they have. No more than that: the judges of the evaluation stay strangers to it.
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

from mfm_edge.critic import SIDE, look_at
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import ATTRIBUTES
from training.data import FaceSet, load_faces, models_of, to_tensor
from training.experiments.subject import modify, random_keys
from training.metrics.attributes import balanced_cross_entropy
from training.ratings import Eyes, Rater
from training.recogniser import Recogniser, View, distance
from training.timed_fit import timed_fit

__all__ = [
    "SIZE",
    "CriticNetwork",
    "Lessons",
    "Teacher",
    "fit",
    "fit_natural",
    "going_on_from",
    "main",
    "surrogates_of",
]

SIZE = 128  # of an embedding
BATCH = 128
APART, NATURAL, ATTRIBUTES_TOO = 0.15, 0.5, 0.5  # what their losses count beside that of the embedding


class CriticNetwork(nn.Module):
    """(N,3,SIDE,SIDE) RGB in -1..1 -> embedding (N,SIZE): the less alike two faces are, the further apart; how natural
    each is (N,); and logits of its attributes (N,A)."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, widths[0], 2)]
        for before, after in pairwise(widths):
            layers += [_conv(before, after, 2), Residual(after)]
        self.body = nn.Sequential(*layers)
        cells = widths[-1] * (SIDE >> len(widths)) ** 2
        self.embedding = nn.Linear(cells, SIZE)
        self.natural = nn.Sequential(nn.Linear(cells, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))
        self.attributes = nn.Sequential(
            nn.BatchNorm1d(cells, affine=False), nn.Dropout(0.3), nn.Linear(cells, 128), nn.ReLU(inplace=True),
            nn.Dropout(0.3), nn.Linear(128, len(ATTRIBUTES)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.body(x).flatten(1)
        return self.embedding(seen), self.natural(seen)[:, 0], self.attributes(seen)


def going_on_from(path: Path) -> CriticNetwork:
    """The network in a file of an earlier run, or in an ONNX file that was made of one. Exporting has folded its batch
    normalisations into what they follow, so those of the latter change nothing until they learn. Needs pip install
    onnx."""
    network = CriticNetwork()
    if path.suffix != ".onnx":
        network.load_state_dict(torch.load(path, weights_only=True))
        return network
    import onnx

    written = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    for name, module in network.named_modules():
        for kind, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if f"{name}.{kind}" in written:
                value.data.copy_(torch.from_numpy(written[f"{name}.{kind}"].copy()))
        if isinstance(module, nn.BatchNorm2d):
            assert module.bias is not None
            before = name.removesuffix("1") + "0"
            module.bias.data.copy_(torch.from_numpy(written[f"{before}.bias"].copy()))
            module.running_var.fill_(1 - module.eps)  # type: ignore[union-attr]
    return network


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


class Teacher:
    """The recogniser of training, and the eye's ratings. Both look at (N, 128, 128, 3) uint8 RGB.

    bf16: the recogniser computes in bfloat16, which moves an embedding by a hundredth of what two people's are apart.
    """

    def __init__(self, models: Path, *, bf16: bool = False) -> None:
        self._recogniser = Recogniser(models, torch.bfloat16 if bf16 else torch.float32)
        self._eyes, self._rater = Eyes(models), Rater.load()

    @torch.no_grad()
    def embed(self, crops: NDArray[np.uint8], batch: int = 32) -> Tensor:
        """Embeddings (N, SIZE), unit vectors, in colour."""
        found = []
        for start in range(0, len(crops), batch):
            x = to_tensor(np.ascontiguousarray(crops[start : start + batch]))
            found.append(F.normalize(self._recogniser(x, View.straight(len(x), colour=True))[0]))
        return torch.cat(found)

    def score(self, crops: NDArray[np.uint8]) -> Tensor:
        """How natural they are (N,)."""
        return self._rater.rate(self._eyes, crops)


class Lessons:
    """What a critic learns from. surrogates: (N, 128, 128, 3) uint8 RGB. whose: (N,), which face each is of.
    embeddings: (N, SIZE) of faces and surrogates, faces first. scores: (N,) of the surrogates.

    Both are learned up to a shift and a factor: so that embeddings have mean 0 over all, and unit variance on average
    over dimensions, and scores mean 0 and variance 1.
    """

    def __init__(
        self, faces: FaceSet, surrogates: NDArray[np.uint8], whose: NDArray[np.intp], embeddings: Tensor, scores: Tensor
    ) -> None:
        self.faces, self.surrogates, self.whose = faces, surrogates, torch.from_numpy(whose)
        centred = embeddings - embeddings.mean(0)
        self.embeddings = centred / centred.square().mean().sqrt()
        self.scores = _standard(scores)


def fit(network: CriticNetwork, taught: Lessons, *, minutes: float, bf16: bool = False, seed: int = 0) -> CriticNetwork:
    """Half of each batch are surrogates, of which alone it learns how natural they are: faces are more natural than all
    of them, which says nothing about which to take. Half are their originals, of which alone it learns attributes,
    since only they have labels. How far apart the two of each pair are is what it is for, and learned beside where they
    are: distances between half known places tell less. bf16: computes in bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    pictures, half = _small(np.concatenate([taught.faces.crops, taught.surrogates])), BATCH // 2
    faces, labels = len(taught.faces), torch.from_numpy(taught.faces.attributes).float()
    share = labels.mean(0)

    def loss() -> Tensor:
        second = torch.randint(len(taught.surrogates), (half,), generator=generator)
        first = taught.whose[second]
        pick = torch.cat([first, faces + second])
        seen = _seen(pictures[pick], generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embedding, natural, attributes = (one.float() for one in network(seen))
        told = taught.embeddings[pick]
        return (
            F.mse_loss(embedding, told)
            + APART * F.mse_loss(distance(*embedding.split(half)), distance(*told.split(half)))
            + NATURAL * F.mse_loss(natural[half:], taught.scores[second])
            + ATTRIBUTES_TOO * balanced_cross_entropy(attributes[:half], labels[first], share)
        )

    timed_fit(network, loss, minutes=minutes)
    return network


def fit_natural(
    network: CriticNetwork, surrogates: NDArray[np.uint8], scores: Tensor, *, minutes: float, seed: int = 0
) -> CriticNetwork:
    """Nothing but how natural surrogates are, by what the network sees for the rest: that stays to the bit, and with it
    who looks like whom, for which the runtime has fixed bounds. As `Lessons` has them: (N, 128, 128, 3) and (N,)."""
    generator = torch.Generator().manual_seed(seed)
    pictures, told = _small(surrogates), _standard(scores)
    network.eval()

    def loss() -> Tensor:
        pick = torch.randint(len(pictures), (2 * BATCH,), generator=generator)
        with torch.no_grad():
            seen = network.body(_seen(pictures[pick], generator)).flatten(1)
        return F.mse_loss(network.natural(seen)[:, 0], told[pick])

    timed_fit(network.natural, loss, minutes=minutes, rate=1e-3)
    return network


def _small(crops: NDArray[np.uint8]) -> Tensor:
    """(N,128,128,3) -> (N,3,SIDE,SIDE) uint8, what the critic looks at."""
    return torch.from_numpy(look_at(crops)).permute(0, 3, 1, 2).contiguous()


def _seen(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """(N,3,SIDE,SIDE) uint8 -> floats in about -1..1, varied."""
    varied = _varied(pictures.float() / 127.5 - 1, generator)
    return varied.contiguous(memory_format=torch.channels_last)


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


def _standard(scores: Tensor) -> Tensor:
    return (scores - scores.mean()) / scores.std()


def surrogates_of(faces: FaceSet, count: int, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """(count, 128, 128, 3) uint8 RGB, and which face each is of (count,): of random ones, by the network that ships."""
    rng = np.random.default_rng(seed)
    whose = rng.integers(0, len(faces), count)
    some = faces.take(whose).with_exact_landmarks()
    return modify(OnnxEngine(), some.crops, some.landmarks, random_keys(len(some), rng)), whose


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.critic", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../models beside data)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, for python -m export.critic")
    parser.add_argument("--minutes", type=float, default=50, help="of processor time (default 50); 0: the next alone")
    parser.add_argument(
        "--natural-minutes", type=float, default=4, help="for how natural, after that (default 4); 0: not"
    )
    parser.add_argument("--surrogates", type=int, default=20000, help="how many to learn from (default 20000)")
    parser.add_argument("--limit", type=int, help="use only the first N training faces")
    parser.add_argument("--start", type=Path, help="file of an earlier run, or critic.onnx, to go on from")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16, where the processor has units for it")
    args = parser.parse_args(argv)
    faces = load_faces(args.data, "train", limit=args.limit)
    torch.manual_seed(0)
    network = CriticNetwork() if args.start is None else going_on_from(args.start)
    teacher = Teacher(args.models or models_of(args.data), bf16=args.bf16)
    surrogates, whose = surrogates_of(faces, args.surrogates)
    scores = teacher.score(surrogates)
    if args.minutes > 0:
        embeddings = teacher.embed(np.concatenate([faces.crops, surrogates]))
        fit(network, Lessons(faces, surrogates, whose, embeddings, scores), minutes=args.minutes, bf16=args.bf16)
    if args.natural_minutes > 0:
        fit_natural(network, surrogates, scores, minutes=args.natural_minutes)
    torch.save(network.state_dict(), args.out)


if __name__ == "__main__":
    main()
