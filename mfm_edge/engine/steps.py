"""What every engine does around its three graphs: pixels to floats, the repeat-and-add, floats to pixels."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.latent import repeat_add
from mfm_edge.style import StyleKey

__all__ = ["RunPart", "run_parts"]


class RunPart(Protocol):
    """Runs one of the three graphs: inputs by name -> outputs in the graph's order, arrays of the caller's own."""

    def __call__(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]: ...


def run_parts(run: RunPart, crops: NDArray[np.uint8], key: StyleKey) -> NDArray[np.uint8]:
    """(N, 128, 128, 3) uint8 BGR -> the same shape; see Engine.modify."""
    n = len(crops)
    x = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2), np.float32)
    x *= 1 / 127.5
    x -= 1
    # The key is the same for all faces of a frame: broadcast views, copied once by the runtime.
    rotation, order, signs, signature_from, signature_to = (
        np.broadcast_to(part, (n, *part.shape))
        for part in (key.rotation, key.order, key.signs, key.signature_from, key.signature_to)
    )
    style_from, style_to = run(
        "style_encoder", crop=x, rotation=rotation, signature_from=signature_from, signature_to=signature_to
    )
    (latent_from,) = run("content_encoder", crop=x)
    latent_to = repeat_add(latent_from, style_to)
    repeat_add(latent_from, style_from, out=latent_from)
    (y,) = run("decoder", latent_from=latent_from, latent_to=latent_to, order=order, signs=signs, crop=x)
    y += 1
    y *= 127.5
    np.rint(y, out=y)
    return np.ascontiguousarray(y.astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1])
