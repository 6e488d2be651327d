"""The network as one graph, as `python -m export.fuse` joins it: from crop and key to face and evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.style import PLANE, STYLE_SIZE

__all__ = ["RunGraph", "RunWhole"]

_FROM_PARTS = ("latent_from", "latent_to", "otherwise")

RunGraph = Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[np.float32]]]
"""Runs the one graph: inputs by name -> face and evidence by name, each of float32."""


class RunWhole:
    """A RunPart over the one graph, for run_parts. The first two parts' calls return stand-ins of one channel; the
    decoder's runs the graph, which makes the latents itself, on its own inputs and those kept of the style encoder."""

    def __init__(self, run: RunGraph) -> None:
        self._run = run
        self._inputs: dict[str, NDArray[Any]] = {}

    def __call__(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        count = len(inputs["crop"])
        if part == "content_encoder":  # its inputs are among the style encoder's
            return [np.zeros((count, 1, PLANE, PLANE), np.float32)]
        self._inputs |= {name: value for name, value in inputs.items() if name not in _FROM_PARTS}
        if part == "style_encoder":
            return [np.zeros((count, STYLE_SIZE), np.float32) for _ in range(3)]
        found = self._run(self._inputs)
        return [found["face"], found["evidence"]]
