"""What every experiment is about: an exported network, faces that training never saw, and recognisers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import IMAGE_SALT, Factors, KeyDerivation, derive_secret
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.style import FaceKeys, StyleKey, expand
from mfm_edge.types import AlignedFace
from training.data import FaceSet, load_faces
from training.metrics.judges import JUDGES, Judge, unseen_judges

__all__ = [
    "Crops",
    "Subject",
    "choose_slots",
    "face_keys",
    "in_slots",
    "key_of",
    "modify",
    "random_keys",
    "split_unseen",
]

Crops = NDArray[np.uint8]

CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
"""Keys of any cost are equally random; the default's cost is for attackers."""


@dataclass(frozen=True, slots=True)
class Subject:
    """faces: the unseen people that are measured. others: other unseen people, for comparing distributions.
    models: the recognisers' folder."""

    engine: OnnxEngine
    faces: FaceSet
    others: FaceSet
    models: Path

    def judges(self, *, trained_on: bool = False) -> list[Judge]:
        """Recognisers that training never used; with `trained_on` also the others, which never count."""
        return [Judge(name, self.models) for name in JUDGES] if trained_on else unseen_judges(self.models)

    @staticmethod
    def load(data: Path, models: Path, model: Path, faces: int) -> Subject:
        measured, others = split_unseen(load_faces(data, "val"), faces)
        return Subject(OnnxEngine(model, trust_unknown_model=True), measured, others, models)


def split_unseen(everyone: FaceSet, faces: int) -> tuple[FaceSet, FaceSet]:
    """`faces` of every second person, spread over them, and four times as many, up to 1000, of the people between."""
    even, odd = (np.flatnonzero(everyone.identities % 2 == rest) for rest in (0, 1))
    if not 1 <= faces <= len(even):
        raise SystemExit(f"--faces: got {faces}, takes 1 to {len(even)}")
    spread = [
        np.linspace(0, len(i) - 1, n).astype(np.intp) for i, n in ((even, faces), (odd, min(4 * faces, 1000, len(odd))))
    ]
    measured, others = everyone.take(even[spread[0]]), everyone.take(odd[spread[1]])
    return measured.with_exact_landmarks(), others.with_exact_landmarks()


def key_of(factors: Factors, salt: bytes = IMAGE_SALT, *, slot: int = 0) -> StyleKey:
    """A key of a picture's or stream's faces, from a derivation that costs nothing."""
    return face_keys(factors, salt).of(slot)


def face_keys(factors: Factors, salt: bytes = IMAGE_SALT) -> FaceKeys:
    """The same for all slots."""
    return FaceKeys(derive_secret(factors, salt=salt, parameters=CHEAP), factors.attribute_vector())


def choose_slots(
    choice: SlotChoice, crops: Crops, landmarks: NDArray[np.float32], keys: Sequence[FaceKeys]
) -> list[int]:
    """The slots that the runtime gives (N, 128, 128, 3) uint8 RGB faces, each alone in its picture, under keys
    i % len(keys) for crop i; landmarks: (N, 5, 2) crop px."""
    nowhere = np.eye(3)[:2]
    aligned = [
        AlignedFace(np.ascontiguousarray(crop[..., ::-1]), nowhere, places)
        for crop, places in zip(crops, landmarks, strict=True)
    ]
    return [choice.choose(face, keys[i % len(keys)], 0, ()) for i, face in enumerate(aligned)]


def in_slots(keys: Sequence[FaceKeys], slots: Sequence[int]) -> list[StyleKey]:
    """The keys of faces in the slots that were chosen for them, i % len(keys) for face i."""
    return [keys[i % len(keys)].of(slot) for i, slot in enumerate(slots)]


def random_keys(count: int, rng: np.random.Generator) -> list[StyleKey]:
    """Keys of random secrets that ask for no attribute."""
    none = Factors("-").attribute_vector()
    return [expand(rng.bytes(32), none) for _ in range(count)]


def modify(engine: OnnxEngine, crops: Crops, landmarks: NDArray[np.float32], keys: Sequence[StyleKey]) -> Crops:
    """(N, 128, 128, 3) uint8 RGB -> the same shape, key i % len(keys) for crop i; or one crop under N keys -> N;
    landmarks: of each crop (5, 2), crop px, of the originals, also where surrogates are turned back."""
    one = len(crops) == 1
    own = keys if one else [keys[i % len(keys)] for i in range(len(crops))]
    done = []
    for start in range(0, len(own), engine.batch):
        some = slice(start, start + engine.batch)
        given = slice(1) if one else some
        done.append(engine.modify(crops[given][..., ::-1], own[some], landmarks[given]).faces[..., ::-1])
    return np.concatenate(done)
