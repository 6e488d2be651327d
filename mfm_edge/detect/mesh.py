"""Exact landmarks: a detector finds faces, a face mesh tells where in them eyes, nose and mouth are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import extract, invert, locate
from mfm_edge.beyond import beyond
from mfm_edge.errors import ArgumentError
from mfm_edge.pixels import to_planes
from mfm_edge.session import open_shipped
from mfm_edge.types import WINDOW, Face, check_frame

if TYPE_CHECKING:
    from mfm_edge.detect import Detector

__all__ = ["SHIPPED_MESH", "FaceMesh", "MeshDetector"]

SHIPPED_MESH = Path(__file__).parents[1] / "models" / "landmarks" / "face_mesh.onnx"

_SIDE = 192
_FAR = 6.0
"""Crop px, on average: landmarks further from the detector's are not believed. The mesh sees a face in everything."""


class FaceMesh:
    """Places five landmarks in aligned faces. Of one and the same face seen a little otherwise they differ by 0.02 to
    0.03 of the distance between the eyes, where a detector's differ by 0.08: five such spots tell which way a head is
    turned, to 1.3 degrees sideways and 2 up and down, a detector's to 5 and 8.

    threads: of ONNX Runtime; its own choice when None. Raises ModelError when the shipped file is missing or corrupt.
    """

    def __init__(self, *, threads: int | None = 1) -> None:
        self._session = open_shipped(SHIPPED_MESH, threads=threads)

    def landmarks(self, crops: NDArray[np.uint8], known: NDArray[np.float32]) -> NDArray[np.float32]:
        """crops: (N, 128, 128, 3) uint8 BGR, C-contiguous. known: (N, 5, 2) float32, where a detector has them, crop
        px -> where they are, the same; known ones where no face like that is seen."""
        enlarged = np.stack([cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) for crop in crops])
        (found,) = self._session.run(["landmarks"], {"face": to_planes(enlarged)})
        near = np.linalg.norm(found - known, axis=2).mean(1) <= _FAR  # what is not a number is not near
        exact: NDArray[np.float32] = np.where(near[:, None, None], found, known)
        return exact


class MeshDetector:
    """Finds the faces that another detector finds, with a mesh's landmarks where all of a face is in the frame.

    Raises ModelError when the shipped file is missing or corrupt.
    """

    def __init__(self, detector: Detector, *, threads: int | None = 1) -> None:
        self._detector, self._mesh = detector, FaceMesh(threads=threads)

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """See Detector."""
        check_frame(frame)
        return tuple(self._exact(frame, face) for face in self._detector.detect(frame))

    def _exact(self, frame: NDArray[np.uint8], face: Face) -> Face:
        try:
            matrix, known = locate(face)
        except ArgumentError:  # its landmarks span no face: nobody can be drawn there
            return face
        top, left, side = WINDOW
        if beyond(matrix, (frame.shape[0], frame.shape[1]))[top : top + side, left : left + side].any():
            return face  # half a face is not what the mesh was made for
        (places,) = self._mesh.landmarks(extract(frame, matrix)[None], known[None])
        if np.array_equal(places, known):
            return face
        back = invert(matrix)
        return replace(face, landmarks=(places @ back[:, :2].T + back[:, 2]).astype(np.float32))
