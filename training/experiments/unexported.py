"""A network of training, run as the engines run an exported one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.engine import Modified
from mfm_edge.engine.steps import run_parts
from mfm_edge.style import StyleKey
from training.networks import Modifier

__all__ = ["UnexportedEngine"]


class UnexportedEngine:
    """What experiments need of an engine. network: on the processor, in evaluation mode."""

    batch = 8

    def __init__(self, network: Modifier) -> None:
        self._parts = dict(network.named_children())

    def modify(
        self, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
    ) -> Modified:
        """(N, 128, 128, 3) uint8 BGR, a key each; see mfm_edge.engine.Engine."""
        return run_parts(self._run, crops, keys, landmarks)

    @torch.inference_mode()
    def _run(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        found = self._parts[part](*(torch.from_numpy(np.array(value, order="C")) for value in inputs.values()))
        return [np.ascontiguousarray(output.numpy()) for output in (found if isinstance(found, tuple) else (found,))]
