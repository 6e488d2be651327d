"""The file by which a key's mark is found in pixels, from the fixed algebra of a network: mfm_edge.mark reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.networks import Modifier

__all__ = ["export_mark"]

FINE = 1  # of the portions with a mark the one whose detail varies within a pixel
EDGES = 1.25
"""Standard deviations of a coefficient in faces from which more counts little more."""
QUIET = 0.1
"""Of components, in the mark's terms: what a codec adds to those that hardly vary."""


def export_mark(network: Modifier, path: Path) -> None:
    """Writes mark.npz: float16 but for whole numbers.

    Of a surrogate's components nothing else is known here than that its detail varies as that of faces does: the
    drawing that the network would take off first counts as noise. Each component weighs as its mark over its variance.
    """
    bands, mark = network.decoder.bands, network.decoder.mark
    axes, damping = bands.axes(FINE).double().numpy(), bands.damping(FINE).double().numpy()
    size, quiet = (mark.get_buffer(f"{name}{FINE}").double().numpy() for name in ("size", "quiet"))
    variance = axes**2 @ bands.spread(FINE).double().numpy() ** 2  # of coefficients in faces
    seen = (axes**2).T @ (variance / damping**2) / size**2  # of components, in the mark's terms
    weight = quiet / (seen + QUIET**2)
    weighted = axes / damping[:, None] * (weight / size)
    half = {
        "wavelet": bands.get_buffer("light").numpy(),
        "limits": EDGES * np.sqrt(variance),
        "axes": weighted / np.abs(weighted).max(),
    }
    whole = {"places": bands.get_buffer("fine_places").numpy(), "first": np.array(bands.key_places(FINE).start)}
    parts = {name: part.astype(np.float16) for name, part in half.items()}
    parts |= {name: part.astype(np.int32) for name, part in whole.items()}
    np.savez(path, **parts)
