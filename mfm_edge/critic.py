"""What a surrogate looks like, to a small network that comes with the large one: like whom, how natural, and with which
attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.pixels import to_planes
from mfm_edge.session import open_shipped
from mfm_edge.types import WINDOW

__all__ = ["SHIPPED_CRITIC", "SIDE", "Critic", "Looks", "look_at"]

SIDE = 64
"""Of the pictures that the critic looks at, px."""

SHIPPED_CRITIC = Path(__file__).parent / "models" / "critic" / "critic.onnx"


class Looks(NamedTuple):
    """embeddings: (N, 128) float32, of about unit variance in each dimension over faces; the further apart, the less
    alike. natural: (N,) float32, of about zero mean and unit variance over surrogates; the higher, the more natural.
    attributes: (N, 17) float32, logits in the order of factors.ATTRIBUTES, as if half of all people had each."""

    embeddings: NDArray[np.float32]
    natural: NDArray[np.float32]
    attributes: NDArray[np.float32]


class Critic:
    """Looks at aligned crops. What it sees is good for choosing among surrogates, and too coarse to tell who somebody
    is: 64x64 px, learned from the recogniser of training, from ratings by eye, and from labels.

    threads: of ONNX Runtime; its own choice when None. Raises ModelError when the file is missing or is not what its
    card says.
    """

    def __init__(self, *, threads: int | None = 1) -> None:
        self._session: Any = open_shipped(SHIPPED_CRITIC, threads=threads)

    def look(self, crops: NDArray[np.uint8]) -> Looks:
        """crops: (N, 128, 128, 3) uint8 BGR."""
        return Looks(*self._session.run(["embedding", "natural", "attributes"], {"face": to_planes(look_at(crops))}))


def look_at(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 128, 128, 3) -> (N, SIDE, SIDE, 3): what a surrogate may change, smaller."""
    top, left, side = WINDOW
    faces = crops[:, top : top + side, left : left + side]
    return np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces])
