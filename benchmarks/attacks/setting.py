"""What every attack shares: people that training never saw, the shipped network, and recognisers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.attacks.counts import Row
from mfm_edge.critic import Critic
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.style import FaceKeys, StyleKey
from training.data import exact_landmarks
from training.experiments.subject import Crops, choose_slots, modify
from training.metrics.judges import Judge, unseen_judges

__all__ = ["Photos", "Setting", "salt_of"]


@dataclass(frozen=True, slots=True)
class Photos:
    """crops: (N, 128, 128, 3) uint8 RGB. landmarks: (N, 5, 2) float32, crop px, of the originals."""

    crops: Crops
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: slice | NDArray[np.intp]) -> Photos:
        return Photos(self.crops[index], self.landmarks[index])


@dataclass(frozen=True, slots=True)
class Setting:
    """first, second: two photos of each of N people. judges: recognisers that training
    never used, with thresholds fixed at a false-accept rate of 0.1 %."""

    engine: OnnxEngine
    choice: SlotChoice
    first: Photos
    second: Photos
    judges: tuple[Judge, ...]

    @classmethod
    def load(cls, data: Path, models: Path, model: Path, people: int) -> Setting:
        """people: how many, spread over those of the validation set that have two photos.

        The network gets one thread a call: attacks run as many calls at once as there are cores.
        """
        first, second = _two_photos(data, people)
        engine = OnnxEngine(model, threads=1, trust_unknown_model=True)
        return cls(engine, SlotChoice(engine, Critic()), first, second, tuple(unseen_judges(models)))

    def few(self, people: int) -> Setting:
        """The same with some of the people, spread over all of them."""
        index = np.linspace(0, len(self.first) - 1, min(people, len(self.first))).astype(np.intp)
        return replace(self, first=self.first[index], second=self.second[index])

    def modify(self, photos: Photos, keys: Sequence[StyleKey]) -> Photos:
        """N photos, each under its own key -> N photos."""

        def batch(start: int) -> Crops:
            some = slice(start, start + self.engine.batch)
            return modify(self.engine, photos.crops[some], photos.landmarks[some], keys[some])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = list(pool.map(batch, range(0, len(keys), self.engine.batch)))
        return replace(photos, crops=np.concatenate(done))

    def slots(self, photos: Photos, keys: Sequence[FaceKeys]) -> list[int]:
        """The slots that the runtime gives N photos, each in a stream of its own, under N streams' keys."""

        def slot(index: int) -> int:
            some = slice(index, index + 1)
            return choose_slots(self.choice, photos.crops[some], photos.landmarks[some], keys[some])[0]

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(slot, range(len(photos))))

    def matched(self, attack: str, a: Photos, b: Photos) -> list[Row]:
        """How many of a's faces each recogniser takes for the same row's person in b."""
        return [
            Row(attack, judge.name, int(judge.same(judge.embed(a.crops), judge.embed(b.crops)).sum()), len(a))
            for judge in self.judges
        ]


def _two_photos(data: Path, people: int) -> tuple[Photos, Photos]:
    """Only these are decoded: the validation set has 20,000."""
    files = sorted(data.glob("val-*.parquet"))
    if not files:
        raise SystemExit(f"--data: no val-*.parquet in {data}")
    table = pa.concat_tables(pq.read_table(file, columns=["identity", "image", "landmarks"]) for file in files)
    identities = table["identity"].to_numpy()
    order = np.argsort(identities, kind="stable")
    _, starts, counts = np.unique(identities[order], return_index=True, return_counts=True)
    starts = starts[counts >= 2]
    if people > len(starts):
        raise SystemExit(f"--people: got {people}, takes at most {len(starts)}, who have two photos")
    chosen = starts[np.linspace(0, len(starts) - 1, people).astype(np.intp)]

    def decoded(rows: NDArray[np.intp]) -> Photos:
        coded = (np.frombuffer(image, np.uint8) for image in table["image"].take(rows).to_pylist())
        crops = np.stack([cv2.imdecode(image, cv2.IMREAD_COLOR_RGB) for image in coded]).astype(np.uint8)
        labelled = np.array(table["landmarks"].take(rows).to_pylist(), np.float32).reshape(-1, 5, 2)
        return Photos(crops, exact_landmarks(crops, labelled))

    return decoded(order[chosen]), decoded(order[chosen + 1])


def salt_of(number: int) -> bytes:
    """A salt a stream, the same in every run."""
    return b"attacks %08d" % number
