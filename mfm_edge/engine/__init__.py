"""Backends that run the three parts of the network. Each is a class you import; all follow the Engine protocol."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.style import StyleKey

__all__ = ["Engine"]


class Engine(Protocol):
    """Runs style encoder, content encoder, repeat-and-add and decoder on a batch of crops."""

    model_id: str
    """Identifies the weights: the first 16 hex digits of the sha256 over the parts' sha256."""
    provider: str
    """What really executes the network, e.g. "CPUExecutionProvider"."""

    def modify(
        self, crops: NDArray[np.uint8], key: StyleKey, landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8]:
        """(N, 128, 128, 3) uint8 BGR -> the same shape: anonymised with a key, restored with its inverse.

        landmarks: (N, 5, 2) float32, crop px: of the originals, in both directions; None: the template's.
        """
        ...
