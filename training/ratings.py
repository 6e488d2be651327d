"""How natural surrogates look to the eye: what one rater said of some, and what that lets expect of all.

    python -m training.ratings sheets --data FOLDER --out FOLDER                surrogates to rate, a row a person
    python -m training.ratings pack --data FOLDER --out FOLDER --ratings FILE   adds to training/state/ratings.npz

A file of ratings has a line for each row of the sheets, in it a digit for each surrogate: 0 no face, 1 broken, 2
spoiled by something that meets the eye, 3 a face with a flaw, 4 might be a photograph. To what is packed first come
photographs: nothing is more natural, and without them what is expected of a photograph is what the eye says of a
surrogate with a flaw.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from mfm_edge.engine.onnx import OnnxEngine
from training.data import FaceSet, load_faces, models_of, to_tensor
from training.efficientnet import EfficientNet
from training.experiments.subject import modify, random_keys
from training.experiments.unexported import UnexportedEngine
from training.recogniser import Recogniser, View
from training.state import load_modifier

__all__ = ["MOST", "RATINGS", "Eyes", "Rater", "main", "make_sheets", "pack", "quarters"]

RATINGS = Path(__file__).parent / "state" / "ratings.npz"
MOST = 4
CHIP = 136  # px, at which the recogniser looks: in the middle of those that training draws
SHRINK = 4000.0  # of the ridge, by people who were left out
PHOTOGRAPHS, THEIR_WEIGHT = 400, 0.25  # beside ratings by eye, and what each counts
ROWS, SIDE = 6, 176  # of a sheet; px of a face in it


class Eyes:
    """The frozen networks by whose feature maps a rating is expected: the recogniser, which looks at faces, mostly
    without colour, and one that was trained on ImageNet, which sees hair, skin and rims."""

    def __init__(self, models: Path) -> None:
        """models: folder of the recognisers."""
        self.recogniser, self.other = Recogniser(models), EfficientNet().eval()

    @torch.no_grad()
    def see(self, crops: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float32]:
        """(N, 128, 128, 3) uint8 RGB -> (N, C), `quarters` of each."""
        found = []
        for start in range(0, len(crops), batch):
            x = to_tensor(np.ascontiguousarray(crops[start : start + batch]))
            _, maps = self.recogniser(x, View.straight(len(x), CHIP))
            found.append(quarters([*maps, *self.other.look(x, straight=True)]))
        return torch.cat(found).numpy()


class Rater(nn.Module):
    """Expects a rating from what `Eyes` see in each quarter of a face, by ridge regression: the higher, the more
    natural; MOST is the most that the eye gave, and what photographs have. Of one person's surrogates it correlates by
    0.56 with ratings of people who were left out, by 0.37 of a network that had been trained to please it.
    """

    def __init__(self, weights: NDArray[np.floating], offset: float) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights).float())
        self.offset = offset

    @classmethod
    def load(cls) -> Rater:
        """From the ratings that come with the project."""
        rated = np.load(RATINGS)
        return cls.fit(rated["seen"] * rated["step"], rated["ratings"], rated["people"] >= 0)

    @classmethod
    def fit(cls, seen: NDArray[np.floating], ratings: NDArray[np.integer], by_eye: NDArray[np.bool_]) -> Rater:
        """From what is seen of surrogates and photographs (N, C), their ratings (N,), and which were rated by eye."""
        scaler = StandardScaler().fit(seen[by_eye])
        weight = np.where(by_eye, 1.0, THEIR_WEIGHT)
        ridge = Ridge(alpha=SHRINK).fit(scaler.transform(seen), ratings, sample_weight=weight)
        weights = ridge.coef_ / scaler.scale_
        return cls(weights, float(ridge.intercept_ - weights @ scaler.mean_))

    def forward(self, seen: Tensor) -> Tensor:
        """(N, C) -> (N,), differentiable."""
        return seen @ self.weights + self.offset

    @torch.no_grad()
    def rate(self, eyes: Eyes, crops: NDArray[np.uint8]) -> Tensor:
        """(N, 128, 128, 3) uint8 RGB -> (N,), the mean of the face as it is and mirrored."""
        return torch.stack([self(torch.from_numpy(eyes.see(x))) for x in (crops, crops[:, :, ::-1])]).mean(0)


def quarters(maps: list[Tensor]) -> Tensor:
    """Feature maps of N faces -> (N, C): the mean of each in each quarter of the face."""
    return torch.cat([F.adaptive_avg_pool2d(one, 2).flatten(1) for one in maps], 1)


def make_sheets(
    engine: OnnxEngine | UnexportedEngine, faces: FaceSet, folder: Path, *, people: int, keys: int, seed: int
) -> None:
    """Writes pictures, in each row an original and its surrogates, and those as surrogates.npz."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(faces))
    _, first = np.unique(faces.identities[shuffled], return_index=True)
    chosen = shuffled[np.sort(first)[:people]]
    some = faces.take(chosen).with_exact_landmarks().take(np.repeat(np.arange(len(chosen)), keys))
    made = modify(engine, some.crops, some.landmarks, random_keys(len(some), rng))
    made = made.reshape(len(chosen), keys, *made.shape[1:])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "surrogates.npz", surrogates=made)
    rows = [_row([original, *others]) for original, others in zip(faces.crops[chosen], made, strict=True)]
    for start in range(0, len(rows), ROWS):
        cv2.imwrite(str(folder / f"sheet-{start // ROWS:02d}.png"), np.vstack(rows[start : start + ROWS]))


def _row(crops: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    tiles = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for crop in crops]
    return np.asarray(np.hstack(tiles)[..., ::-1], np.uint8)


def pack(eyes: Eyes, folder: Path, ratings: Path, path: Path, photographs: NDArray[np.uint8]) -> int:
    """Adds what is seen of the surrogates of `make_sheets`, and their ratings, to what the file has of other sheets, or
    else to that of photographs (N, 128, 128, 3) uint8 RGB; returns how many ratings it has then.

    In the file: people (N,), who each surrogate's original is, -1 of photographs.
    Raises ValueError when the file of ratings has not a digit from 0 to MOST for each.
    """
    surrogates = np.load(folder / "surrogates.npz")["surrogates"]
    people, keys = surrogates.shape[:2]
    lines = ratings.read_text().split()
    allowed = set(map(str, range(MOST + 1)))
    if len(lines) != people or any(len(line) != keys or not set(line) <= allowed for line in lines):
        raise ValueError(f"ratings: {ratings} takes {people} lines of {keys} digits from 0 to {MOST}")
    if path.exists():
        packed = np.load(path)
        before = packed["seen"] * packed["step"], packed["ratings"], packed["people"]
    else:
        count = len(photographs)
        before = eyes.see(photographs), np.full(count, MOST, np.uint8), np.full(count, -1)
    given = np.array([[int(digit) for digit in line] for line in lines], np.uint8).reshape(-1)
    whose = np.repeat(np.arange(people), keys) + 1 + before[2].max()
    added = eyes.see(surrogates.reshape(-1, *surrogates.shape[2:])), given, whose
    found, given, whose = (np.concatenate(parts) for parts in zip(before, added, strict=True))
    step = (np.abs(found).max(0) / 31).clip(1e-9)  # the ridge has no use for more than 6 bits
    np.savez_compressed(path, seen=np.rint(found / step).astype(np.int8), step=step, ratings=given, people=whose)
    return given.size


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.ratings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("sheets", "pack"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../models beside data)")
    parser.add_argument("--network", type=Path, help="folder of a run, or packed state, to rate (default: what ships)")
    parser.add_argument("--people", type=int, default=96, help="of the sheets (default 96)")
    parser.add_argument("--keys", type=int, default=7, help="of each of them (default 7)")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--ratings", type=Path, help="file to pack")
    args = parser.parse_args(argv)
    if args.what == "sheets":
        faces = load_faces(args.data, "train")
        engine = OnnxEngine() if args.network is None else UnexportedEngine(load_modifier(args.network))
        make_sheets(engine, faces, args.out, people=args.people, keys=args.keys, seed=args.seed)
    elif args.ratings is None:
        parser.error("--ratings: pack takes a file")
    else:
        eyes, faces = Eyes(args.models or models_of(args.data)), load_faces(args.data, "train")
        photographs = faces.crops[:: len(faces) // PHOTOGRAPHS][:PHOTOGRAPHS]
        print(f"{pack(eyes, args.out, args.ratings, RATINGS, photographs)} ratings: {RATINGS}")


if __name__ == "__main__":
    main()
