"""What every engine does around its three graphs: pixels to floats, the repeat-and-add, floats to pixels; and the
headroom of surrogates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE
from mfm_edge.engine import Modified
from mfm_edge.errors import ArgumentError
from mfm_edge.headroom import bend, squeeze, stretch
from mfm_edge.latent import repeat_add
from mfm_edge.pixels import to_pixels, to_planes
from mfm_edge.style import StyleKey

__all__ = ["RunPart", "run_parts"]


class RunPart(Protocol):
    """Runs one of the three graphs: inputs by name -> outputs in the graph's order, arrays of the caller's own."""

    def __call__(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]: ...


def run_parts(
    run: RunPart, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
) -> Modified:
    """(N, 128, 128, 3) uint8 BGR, a key each, or one crop under all keys; see Engine.modify."""
    n = len(keys)
    if not n or len(crops) not in (1, n):
        raise ArgumentError(f"keys: got {n} for {len(crops)} crops, takes one for each, or any number for one crop")
    anonymises = np.array([key.anonymises for key in keys], bool)
    if anonymises.any() and not anonymises.all():  # what is turned back is stretched, so one crop becomes two
        crops = _each(crops, n)
    x = to_planes(np.ascontiguousarray(crops))
    back = ~anonymises[: len(x)]
    x[back] = stretch(x[back], bend())
    places = TEMPLATE.astype(np.float32) if landmarks is None else landmarks
    places = np.broadcast_to(places, (len(x), *TEMPLATE.shape))
    stacked = {part.name: np.stack([getattr(key, part.name) for key in keys]) for part in fields(StyleKey)}
    scramble = {name: stacked.pop(name) for name in ("order", "signs", "mark", "known")}
    each = _each(x, n)
    style_from, style_to, otherwise = run("style_encoder", crop=each, landmarks=_each(places, n), **stacked)
    (latent,) = run("content_encoder", crop=x, landmarks=places)
    latent_from = _each(latent, n)
    latent_to = repeat_add(latent_from, style_to)
    repeat_add(latent_from, style_from, out=latent_from)
    y, evidence = run(
        "decoder",
        latent_from=latent_from,
        latent_to=latent_to,
        otherwise=otherwise,
        **scramble,
        crop=each,
    )
    y[anonymises] = squeeze(y[anonymises], bend())
    return Modified(to_pixels(y), evidence)


def _each(array: NDArray[Any], n: int) -> NDArray[Any]:
    """(N, ...) as it is, (1, ...) -> (N, ...)."""
    return array if len(array) == n else np.repeat(array, n, 0)
