"""Backends that run the three parts of the network. Each is a class you import; all follow the Engine protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.style import StyleKey

__all__ = ["GPU_BATCH", "Engine", "Modified"]

GPU_BATCH = 8
"""Most faces that go through a GPU at once: bounds the memory that a crowd takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Modified:
    """What the network made of N crops.

    faces: (N, 128, 128, 3) uint8 BGR. evidence: (N, E) float32: what each surrogate says for a key that restores being
    the one that anonymised, by its mark: rows of length 1, whose sum is in standard deviations of what chance gives;
    nothing of use for keys that anonymise. See mfm_edge.key_evidence.
    """

    faces: NDArray[np.uint8]
    evidence: NDArray[np.float32]


class Engine(Protocol):
    """Runs style encoder, content encoder, repeat-and-add and decoder on a batch of crops."""

    model_id: str
    """Identifies the weights: the first 16 hex digits of the sha256 over the parts' sha256."""
    provider: str
    """What really executes the network, e.g. "CPUExecutionProvider"."""
    on_cpu: bool
    """Whether it computes on the CPU's cores, which several calls of `modify` at the same time can share."""
    batch: int
    """Most crops of a call that pay. More take no less time each, and memory that is kept for the next call."""

    def modify(
        self, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
    ) -> Modified:
        """(N, 128, 128, 3) uint8 BGR: anonymised with a key, restored with its inverse.

        keys: N, one a crop. landmarks: (N, 5, 2) float32, crop px: of the originals, in both directions; None: the
        template's. One crop, with one row of landmarks, also goes with any number of keys, and is encoded but once:
        a face under each of them. Raises ArgumentError for another number of keys.
        """
        ...
