"""How often a recogniser matches a face with its own original and with other people's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion"]


def confusion(matched: NDArray[np.bool_]) -> tuple[tuple[float, float], tuple[float, float]]:
    """(N, N) bool, face i against original j -> normalised by rows: of own originals (matched, not), of others'
    (matched, not)."""
    own = np.eye(len(matched), dtype=bool)
    hit, false = float(matched[own].mean()), float(matched[~own].mean()) if len(matched) > 1 else 0.0
    return (hit, 1 - hit), (false, 1 - false)
