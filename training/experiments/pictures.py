"""A grid of faces with titled columns, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from training.experiments.subject import Crops

__all__ = ["save_grid"]

_TITLE = 22  # px above the faces


def save_grid(path: Path, columns: Mapping[str, Crops]) -> Path:
    """columns: title -> (N, 128, 128, 3) uint8 RGB, one row a face. Long titles are cut. Returns the path."""
    drawn = []
    for title, crops in columns.items():
        head = np.full((_TITLE, crops.shape[2], 3), 255, np.uint8)
        cv2.putText(head, title[:21], (3, _TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
        drawn.append(np.vstack([head, *crops]))
    if not cv2.imwrite(str(path), np.hstack(drawn)[..., ::-1]):
        raise OSError(f"cannot write {path}")
    return path
