"""python -m training.compare --data ../shared/data/celeba RUN [RUN or state ...]: how tries stand beside each other.

In half a minute each, before anything is exported: first keys, without a choice among slots, of unseen people who are
not those of the evaluation. A sheet of originals and two surrogates each is written beside every try. What ships is
measured by training.evaluate.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mfm_edge.critic import Critic
from mfm_edge.detect.yunet import YuNetDetector
from mfm_edge.style import StyleKey, expand
from training.data import FaceSet, load_faces, models_of
from training.experiments.subject import modify, split_unseen
from training.experiments.unexported import UnexportedEngine
from training.keys import random_attributes
from training.metrics.channels import jpeg
from training.metrics.detection import found_faces, landmark_shift, nearest
from training.metrics.frechet import frechet_distance
from training.metrics.judges import unseen_judges
from training.metrics.mesh import mesh_of, mesh_shift, mesh_turn
from training.metrics.mobilenet import MobileNetFeatures
from training.metrics.pose import pose_change
from training.metrics.recovery import psnr
from training.networks import Modifier
from training.package_weights import MissingPackage
from training.ratings import Eyes, Rater
from training.state import load_modifier

__all__ = ["Compared", "Comparison", "main"]

ACROSS, SIDE = 12, 160  # faces in a row of a sheet; px of each
BROKEN = 1.5  # expected ratings below this


@dataclass(frozen=True, slots=True)
class Compared:
    """rating: expected of surrogates (training/ratings.py), and the share of them that are taken for broken; frechet:
    how far they are from their originals, FD-MobileNetV2: training follows the rating, and does not know this network
    (not a number where its package is missing); matched, two_passwords: shares by each judge; alike: mean similarity of
    two passwords' faces by each; restored, from_jpeg: dB, medians; landmarks: in distances between the eyes, pose:
    degrees, medians, by a detector, and mesh and turn the same by the mesh of training; asked: the share of attributes
    asked for that the critic sees."""

    rating: float
    broken: float
    frechet: float
    matched: tuple[float, ...]
    two_passwords: tuple[float, ...]
    alike: tuple[float, ...]
    restored: float
    from_jpeg: float
    landmarks: float
    pose: float
    mesh: float
    turn: float
    asked: float

    def __str__(self) -> str:
        told = asdict(self)
        return ", ".join(f"{field.name} {_rounded(told[field.name])}" for field in fields(self))


class Comparison:
    """Faces, keys and judges that are the same for every network."""

    def __init__(self, faces: FaceSet, models: Path, *, seed: int = 0) -> None:
        self.faces, self.judges = faces, unseen_judges(models)
        self._eyes, self._rater = Eyes(models), Rater.load()
        self._detector, self._critic = YuNetDetector(), Critic()
        rng = np.random.default_rng(seed)
        asked = random_attributes(len(faces), faces.attributes, rng, share=1.0, more=0.0)
        self._asked = asked
        nothing = np.zeros_like(asked)
        self._keys = [[expand(rng.bytes(32), one) for one in wanted] for wanted in (nothing, nothing, asked)]
        self._mobilenet = _mobilenet()
        self._real = None if self._mobilenet is None else self._mobilenet.embed(faces.crops)
        self._places, self._mesh = nearest(found_faces(self._detector, faces.crops)), mesh_of(faces.crops)

    def of(self, network: Modifier, sheet: Path | None = None) -> Compared:
        """network: in evaluation mode. sheet: where to write a picture."""
        engine, x = UnexportedEngine(network), self.faces.crops

        def changed(crops: NDArray[np.uint8], keys: list[StyleKey]) -> NDArray[np.uint8]:
            return modify(engine, crops, self.faces.landmarks, keys)

        y, y2, asked = (changed(x, keys) for keys in self._keys)
        back = [key.inverse() for key in self._keys[0]]
        if sheet is not None:
            _write_sheet(sheet, x, y, y2)
        vectors = [[judge.embed(crops) for crops in (x, y, y2)] for judge in self.judges]
        ratings = self._rater.rate(self._eyes, np.concatenate([y, y2])).numpy()
        places, mesh = nearest(found_faces(self._detector, y)), mesh_of(y)
        logits = self._critic.look(np.ascontiguousarray(asked[..., ::-1])).attributes
        return Compared(
            rating=float(ratings.mean()),
            broken=float((ratings < BROKEN).mean()),
            frechet=self._frechet(y),
            matched=self._matched((0, 1), vectors),
            two_passwords=self._matched((1, 2), vectors),
            alike=tuple(float(F.cosine_similarity(own[1], own[2]).mean()) for own in vectors),
            restored=float(np.median(psnr(x, changed(y, back)))),
            from_jpeg=float(np.median(psnr(x, changed(jpeg(y, 75), back)))),
            landmarks=float(np.median(landmark_shift(self._places, places))),
            pose=float(np.median(pose_change(self._places, places))),
            mesh=float(np.median(mesh_shift(self._mesh, mesh))),
            turn=float(np.median(mesh_turn(self._mesh, mesh))),
            asked=float((logits * self._asked > 0)[self._asked != 0].mean()),
        )

    def _frechet(self, y: NDArray[np.uint8]) -> float:
        if self._mobilenet is None or self._real is None:
            return float("nan")
        return frechet_distance(self._mobilenet.embed(y), self._real)

    def _matched(self, pair: tuple[int, int], vectors: list[list[torch.Tensor]]) -> tuple[float, ...]:
        a, b = pair
        return tuple(float(j.same(own[a], own[b]).mean()) for j, own in zip(self.judges, vectors, strict=True))


def _mobilenet() -> MobileNetFeatures | None:
    try:
        return MobileNetFeatures()
    except MissingPackage:
        return None


def _rounded(told: float | tuple[float, ...]) -> str:
    return " / ".join(f"{one:.3f}" for one in (told if isinstance(told, tuple) else (told,)))


def _write_sheet(path: Path, *kinds: NDArray[np.uint8]) -> None:
    rows = []
    for start in range(0, len(kinds[0]) - ACROSS + 1, ACROSS):
        for crops in kinds:
            some = crops[start : start + ACROSS]
            rows.append(np.hstack([cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for crop in some]))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with val-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../models beside data)")
    parser.add_argument("--faces", type=int, default=80, help="people, at least 12 for a sheet (default 80)")
    parser.add_argument("tries", type=Path, nargs="+", help="folders of runs, or packed states")
    args = parser.parse_args(argv)
    _, others = split_unseen(load_faces(args.data, "val"), 200)
    comparison = Comparison(others.take(slice(args.faces)), args.models or models_of(args.data))
    for path in args.tries:
        print(f"{path}: {comparison.of(load_modifier(path), path.with_name(path.stem + '-compared.png'))}", flush=True)


if __name__ == "__main__":
    main()
