"""How alike two faces look, to a small recogniser that comes with the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.pixels import to_planes
from mfm_edge.session import open_shipped
from mfm_edge.types import WINDOW

__all__ = ["SHIPPED_LIKENESS", "SIDE", "Likeness", "look_at"]

SIDE = 64
"""Of the pictures that the recogniser looks at, px."""

SHIPPED_LIKENESS = Path(__file__).parent / "models" / "likeness" / "likeness.onnx"


class Likeness:
    """Makes embeddings of aligned crops. They are good for telling which of several faces is least like another one,
    and too coarse to tell who somebody is: 128 numbers from 64x64 px, learned from the recogniser that training uses.

    threads: of ONNX Runtime; its own choice when None. Raises ModelError when the file is missing or is not what its
    card says.
    """

    def __init__(self, *, threads: int | None = 1) -> None:
        self._session: Any = open_shipped(SHIPPED_LIKENESS, threads=threads)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 128, 128, 3) uint8 BGR -> (N, 128) float32, of about unit variance in each dimension over faces."""
        embeddings: NDArray[np.float32] = self._session.run(None, {"face": to_planes(look_at(crops))})[0]
        return embeddings


def look_at(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 128, 128, 3) -> (N, SIDE, SIDE, 3): what a surrogate may change, smaller."""
    top, left, side = WINDOW
    faces = crops[:, top : top + side, left : left + side]
    return np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces])
