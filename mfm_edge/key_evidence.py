"""Whether a stream's key is the right one: what single small faces leave open, many of them together tell."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRUSTED", "KeyEvidence", "deviations"]

TRUSTED = 3.8
"""Standard deviations from which a face is restored by its own mark alone: the network is built so."""

SURE = 5.5
"""Standard deviations from which a key is right. It is asked after every face: chance reaches that in one of 50 million
times, and a face's frames follow each other in the same way under a wrong key."""


def deviations(evidence: NDArray[np.float32]) -> float:
    """One row (E,) of an engine's evidence in standard deviations of what chance gives."""
    return float(evidence.sum())


class KeyEvidence:
    """Adds up what the faces of a stream say for its factors: all keys of a stream are derived from the same, so that
    what tells one of them right tells it of all. Several threads may use it.

    Added up are the single numbers, not their sums: in frames of a face at rest they repeat each other, and count no
    more then than one frame does.
    """

    def __init__(self) -> None:
        self._sum = np.zeros(1)
        self._lock = Lock()
        self._right = False

    @property
    def right(self) -> bool:
        """Whether the key is known to be the right one: for good, once it is."""
        return self._right

    def add(self, evidence: Sequence[NDArray[np.float32]]) -> None:
        """evidence: rows (E,) of an engine's, of faces whose slots are known."""
        with self._lock:
            for row in evidence:
                self._sum = self._sum + row
                together = float(self._sum.sum()) / max(float(np.linalg.norm(self._sum)), 1e-12)
                self._right |= max(together, deviations(row)) >= SURE
