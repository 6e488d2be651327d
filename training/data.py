"""Aligned CelebA crops as uint8 arrays in memory, decoded once and cached beside the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from mfm_edge.detect.mesh import FaceMesh
from mfm_edge.factors import ATTRIBUTES

__all__ = [
    "FaceSet",
    "exact_landmarks",
    "label_columns",
    "load_faces",
    "mirrored",
    "models_of",
    "tensors_of",
    "to_crops",
    "to_tensor",
]

# Column of the CelebA labels behind each factor, and whether the label says the opposite of the factor.
label_columns: dict[str, tuple[str, bool]] = {
    "black_hair": ("Black_Hair", False),
    "blond_hair": ("Blond_Hair", False),
    "brown_hair": ("Brown_Hair", False),
    "gray_hair": ("Gray_Hair", False),
    "male": ("Male", False),
    "young": ("Young", False),
    "smiling": ("Smiling", False),
    "mouth_open": ("Mouth_Slightly_Open", False),
    "eyeglasses": ("Eyeglasses", False),
    "mustache": ("Mustache", False),
    "beard": ("No_Beard", True),
    "arched_eyebrows": ("Arched_Eyebrows", False),
    "bushy_eyebrows": ("Bushy_Eyebrows", False),
    "bags_under_eyes": ("Bags_Under_Eyes", False),
    "big_nose": ("Big_Nose", False),
    "big_lips": ("Big_Lips", False),
    "pale_skin": ("Pale_Skin", False),
}


@dataclass(frozen=True, slots=True)
class FaceSet:
    """crops (N, 128, 128, 3) uint8 RGB; identities (N,) int64, 0..I-1; attributes (N, 17) bool as ATTRIBUTES;
    landmarks (N, 5, 2) float32 px."""

    crops: NDArray[np.uint8]
    identities: NDArray[np.int64]
    attributes: NDArray[np.bool_]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.crops)

    def take(self, index: NDArray[np.intp] | slice) -> FaceSet:
        return FaceSet(self.crops[index], self.identities[index], self.attributes[index], self.landmarks[index])

    def with_exact_landmarks(self) -> FaceSet:
        """See `exact_landmarks`."""
        return replace(self, landmarks=exact_landmarks(self.crops, self.landmarks))

    def draw(
        self, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.float32]]:
        """Indices of `count` random faces, their crops and landmarks, half of them mirrored."""
        index = rng.integers(0, len(self), count)
        crops, landmarks = self.crops[index].copy(), self.landmarks[index].copy()
        turned = rng.random(count) < 0.5
        crops[turned], landmarks[turned] = mirrored(crops[turned], landmarks[turned])
        return index, crops, landmarks


def exact_landmarks(crops: NDArray[np.uint8], labelled: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 128, 128, 3) uint8 RGB and labels (N, 5, 2), crop px -> landmarks as the runtime gets them, from its mesh, at
    a millisecond a face; labels are off by 2.4 px."""
    mesh, found = FaceMesh(threads=None), [labelled[:0]]
    for i in range(0, len(crops), 8):
        found.append(mesh.landmarks(np.ascontiguousarray(crops[i : i + 8, ..., ::-1]), labelled[i : i + 8]))
    return np.concatenate(found)


def load_faces(folder: Path, part: str, *, limit: int | None = None) -> FaceSet:
    """Read `part` ("train" or "val") of the parquet files in `folder`. `limit` keeps the first faces only."""
    files = sorted(folder.glob(f"{part}-*.parquet"))
    if not files:
        raise FileNotFoundError(f"data: no {part}-*.parquet in {folder}")
    crops: list[NDArray[np.uint8]] = []
    identities: list[int] = []
    attributes: list[NDArray[np.bool_]] = []
    landmarks: list[NDArray[np.float32]] = []
    for file in files:
        table = pq.read_table(file)
        if limit is not None:
            table = table.slice(0, limit - len(crops))
        crops += [cv2.imdecode(np.frombuffer(b, np.uint8), cv2.IMREAD_COLOR_RGB) for b in table["image"].to_pylist()]
        identities += table["identity"].to_pylist()
        landmarks.append(np.array(table["landmarks"].to_pylist(), np.float32).reshape(-1, 5, 2))
        columns = [
            table[column].to_numpy().astype(bool) ^ flip for column, flip in (label_columns[a] for a in ATTRIBUTES)
        ]
        attributes.append(np.stack(columns, 1))
        if limit is not None and len(crops) >= limit:
            break
    return FaceSet(
        crops=np.stack(crops),
        identities=np.unique(np.array(identities), return_inverse=True)[1].astype(np.int64),
        attributes=np.concatenate(attributes),
        landmarks=np.concatenate(landmarks),
    )


def models_of(folder: Path) -> Path:
    """Where the recognisers lie unless told otherwise, from the folder of the faces: ../../models."""
    return folder.resolve().parent.parent / "models"


def mirrored(crops: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops (N, H, W, 3) and landmarks (N, 5, 2) px as in a mirror: left eye and mouth corner become the right ones."""
    flipped = landmarks[:, [1, 0, 2, 4, 3]].copy()
    flipped[..., 0] = crops.shape[2] - 1 - flipped[..., 0]
    return crops[:, :, ::-1], flipped


def to_tensor(crops: NDArray[np.uint8]) -> torch.Tensor:
    """(N, 128, 128, 3) uint8 RGB -> (N, 3, 128, 128) float32 in -1..1, channels last."""
    x = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def to_crops(faces: torch.Tensor) -> NDArray[np.uint8]:
    """The inverse of `to_tensor`: rounded, and clamped to what a picture holds."""
    return ((faces.detach().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def tensors_of(faces: FaceSet, size: int = 500) -> Iterator[torch.Tensor]:
    """All crops in turn, `size` at a time, as `to_tensor` makes them."""
    for start in range(0, len(faces), size):
        yield to_tensor(faces.crops[start : start + size])
