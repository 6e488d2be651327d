"""Which way a head looks, from the five landmarks alone, and how far two heads look apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["pose_change"]

# A generic head, mm: right and left eye, nose tip, mouth corners; x to the picture's right, y down, z away.
_HEAD = np.array([(-31.5, -32, 32), (31.5, -32, 32), (0, 0, 0), (-25, 33, 24), (25, 33, 24)], np.float64)
_CAMERA = np.array([[1000, 0, 64], [0, 1000, 64], [0, 0, 1]], np.float64)  # a long lens: crops show no perspective


def pose_change(a: list[NDArray[np.float32] | None], b: list[NDArray[np.float32] | None]) -> NDArray[np.float64]:
    """Angle in degrees between the orientations of two heads, for the pairs in which both were found.

    a, b: landmarks (5, 2) in crop px or None. Five points on a generic head are a rough measure: a nose tip that is
    found 1 px off turns a head of a 128 px crop by 4 to 5 degrees, another landmark by 1.
    """
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    return np.array([_angle(_rotation(p), _rotation(q)) for p, q in pairs])


def _rotation(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    _, turn, _ = cv2.solvePnP(_HEAD, landmarks.astype(np.float64), _CAMERA, None, flags=cv2.SOLVEPNP_SQPNP)
    return np.asarray(cv2.Rodrigues(turn)[0])


def _angle(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(p.T @ q) - 1) / 2, -1, 1))))
