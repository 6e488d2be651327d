"""What every attack shares: people that training never saw, the shipped network, and recognisers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.attacks.counts import Row
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.engine.steps import run_parts
from mfm_edge.factors import Factors, KeyDerivation, derive_secret
from mfm_edge.style import StyleKey, expand
from training.metrics.judges import JUDGES, Judge

__all__ = ["Crops", "Photos", "Setting", "key_of", "modify", "salt_of"]

Crops = NDArray[np.uint8]

CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
"""Keys of any cost are equally random. What a guess costs an attacker is the default's time, not this one's."""
BATCH = 32
"""Most faces that go through the network at once, in one thread; 4 are as fast a face as 32."""


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
    first: Photos
    second: Photos
    judges: tuple[Judge, ...]

    @classmethod
    def load(cls, data: Path, models: Path, model: Path, people: int) -> Setting:
        """people: how many, spread over those of the validation set that have two photos.

        The network gets one thread a call: attacks run as many calls at once as there are cores.
        """
        first, second = _two_photos(data, people)
        judges = tuple(Judge(name, models) for name, spec in JUDGES.items() if not spec.used_in_training)
        engine = OnnxEngine(model, threads=1, trust_unknown_model=True)
        return cls(engine, first, second, judges)

    def few(self, people: int) -> Setting:
        """The same with some of the people, spread over all of them."""
        index = np.linspace(0, len(self.first) - 1, min(people, len(self.first))).astype(np.intp)
        return replace(self, first=self.first[index], second=self.second[index])

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
        return Photos(crops, np.array(table["landmarks"].take(rows).to_pylist(), np.float32).reshape(-1, 5, 2))

    return decoded(order[chosen]), decoded(order[chosen + 1])


def key_of(factors: Factors, salt: bytes) -> StyleKey:
    """The key of a stream under this salt."""
    return expand(derive_secret(factors, salt=salt, parameters=CHEAP), factors.attribute_vector())


def salt_of(number: int) -> bytes:
    """A salt a stream, the same in every run."""
    return b"attacks %08d" % number


def modify(engine: OnnxEngine, photos: Photos, keys: list[StyleKey]) -> Photos:
    """N photos, each under its own key, or one photo under all of N keys -> N photos."""

    def batch(start: int) -> Crops:
        some = slice(start, start + BATCH)
        return _modify(engine, photos if len(photos) == 1 else photos[some], keys[some])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = np.concatenate(list(pool.map(batch, range(0, len(keys), BATCH))))
    return Photos(crops, np.broadcast_to(photos.landmarks, (len(keys), 5, 2)))


def _modify(engine: OnnxEngine, photos: Photos, keys: list[StyleKey]) -> Crops:
    n = len(keys)
    stacked = {field.name: np.stack([getattr(key, field.name) for key in keys]) for field in fields(StyleKey)}

    def run(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        if len(photos) == 1 and inputs.keys() <= {"crop", "landmarks"}:  # knows nothing of the key
            once = engine.run_part(part, **{name: value[:1] for name, value in inputs.items()})
            return [np.repeat(output, n, 0) for output in once]
        return engine.run_part(part, **{name: stacked.get(name, value) for name, value in inputs.items()})

    bgr = np.broadcast_to(photos.crops[..., ::-1], (n, *photos.crops.shape[1:]))
    return run_parts(run, bgr, keys[0], np.broadcast_to(photos.landmarks, (n, 5, 2)))[..., ::-1]
