"""Phase 1, closed form: fit the style space on the training faces.

Principal components of the coarse luminance inside the face. Directions that are not the person's are taken out:
brightness and contrast, the strongest components (lighting), and those that carry smile, mouth opening and pose. What
is left is what a key may turn. What was taken out, but for smile and mouth, is light, which a key may move. Then the
principal axes of the hidden part, among which a key scrambles; and whom a key asks for (`fit_person.py`,
`fit_surroundings.py`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import BLOCK, COORDINATES, NEIGHBOURS, face_blocks
from mfm_edge.types import WINDOW
from training.bands import GRAIN, Bands, face_share
from training.data import FaceSet, tensors_of
from training.fit_person import fit_person
from training.fit_surroundings import fit_surroundings
from training.style_space import COARSE_SCALE, SPREAD_LIMIT, StyleSpace, luminance, window
from training.tone import tone
from training.wavelet import wavelet

__all__ = ["coarse_luminance", "fit_axes", "fit_style_space"]

LIGHTING_COMPONENTS = 4
# By how much a key changes what was taken out, in standard deviations of faces: brightness, contrast, smile, mouth,
# where the nose points, across and down, which is light from a side for the most part and turns heads a little, and the
# lighting components.
LIGHT_CHANGES = np.array([0.4, 0.4, 0, 0, 0.4, 0.4, 0.8, 0.8, 0.8, 0.8])
LIGHT_RANGE = 3.0  # standard deviations on both sides, within which a face's light stays
REST_SHARE = 0.1  # coefficients that belong to the face by less than this stay, as do those at the window's border
ROUNDING = 0.004  # half a level of uint8: nothing varies less
KEPT_ATTRIBUTES = ("smiling", "mouth_open")


def fit_style_space(faces: FaceSet) -> StyleSpace:
    """Fit the space on the training faces (half a minute for 40,000)."""
    coarse = np.concatenate([coarse_luminance(x).flatten(1).numpy() for x in tensors_of(faces)])
    mask = face_blocks().reshape(-1).astype(np.float64)
    weighted = coarse.astype(np.float64) * mask
    mean = weighted.mean(0)
    # Orthogonal to the flat picture and to the mean face: coordinates tell nothing of brightness and contrast, and are
    # linear in the picture, so nothing has to be estimated from it when restoring.
    nose = faces.landmarks[:, 2] - faces.landmarks.mean(1)
    carried = [faces.attributes[:, ATTRIBUTES.index(name)].astype(np.float64) for name in KEPT_ATTRIBUTES]
    kept = [mask, mean]
    kept += [(weighted - mean).T @ (v - v.mean()) / len(v) for v in (*carried, nose[:, 0], nose[:, 1])]
    for _ in range(2):  # the lighting components are those of what the others leave
        basis, _ = np.linalg.qr(np.stack(kept, 1))
        centred = weighted - mean
        centred -= (centred @ basis) @ basis.T
        variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        variance, axes = variance[::-1], axes[:, ::-1]
        if len(kept) == 2 + len(carried) + 2:
            kept += list(axes[:, :LIGHTING_COMPONENTS].T)
    spread, axes = np.sqrt(variance[:COORDINATES]), axes[:, :COORDINATES]

    analysis = mask[:, None] * axes / spread
    pictures = (axes * spread).T * mask
    # Weighed once when drawn and once when read: make reading what was drawn exact.
    synthesis = np.linalg.solve(pictures @ analysis, pictures)
    readings = np.concatenate([analysis, mask[:, None] * basis], 1)
    drawn = np.concatenate([pictures, basis.T * mask])
    light_analysis, light_synthesis = _light(readings, drawn, synthesis, ((weighted - mean) @ basis).std(0))
    lit = coarse @ light_analysis
    light_range = lit.mean(0) + np.array([[-LIGHT_RANGE], [LIGHT_RANGE]]) * lit.std(0)
    inside = _inside().reshape(-1)
    rest = np.zeros((len(mask), int(inside.sum()) - readings.shape[1]))
    rest[inside] = np.linalg.svd(readings[inside])[0][:, readings.shape[1] :]
    exact = (
        part.astype(np.float32) for part in (analysis, synthesis, light_analysis, light_synthesis, light_range, rest)
    )
    no_axes, no_spreads = [np.zeros((0, 0), np.float16)] * 3, [np.zeros(0, np.float32)] * 3
    no_context = [np.zeros((0, 0), np.float32)] * 5
    fitted = fit_person(fit_axes(StyleSpace(*exact, *no_axes, *no_spreads, *no_context), faces), faces)
    return fit_surroundings(fitted, faces)


def _light(
    readings: NDArray[np.float64],
    drawn: NDArray[np.float64],
    synthesis: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How to read the directions that a key changes, where coordinates are taken out, and how to draw them so that no
    coordinate changes: (144, LIGHTS) and (LIGHTS, 144).

    readings (144, COORDINATES + K), drawn (COORDINATES + K, 144): of coordinates, then of the directions that were
    taken out, along which faces vary by spread (K,).
    """
    changed = LIGHT_CHANGES > 0
    size = (spread * LIGHT_CHANGES)[changed]
    read = readings[:, COORDINATES:][:, changed] / size
    exact = np.linalg.solve(drawn @ readings, drawn)[COORDINATES:][changed] * size[:, None]
    return read - readings[:, :COORDINATES] @ (synthesis @ read), exact


def coarse_luminance(x: torch.Tensor) -> torch.Tensor:
    """As `Bands.coarse`, which needs the space."""
    rows = wavelet(WINDOW[2] // 2, 2)[: WINDOW[2] // BLOCK]
    return rows @ torch.nn.functional.avg_pool2d(luminance(tone(window(x))), 2) @ rows.T / COARSE_SCALE


def _inside() -> NDArray[np.bool_]:
    """(12, 12): blocks whose luminance is coordinates or hidden."""
    inside = face_share(BLOCK)[0, 0].numpy() > REST_SHARE
    inside[[0, -1]] = inside[:, [0, -1]] = False
    return inside


def fit_axes(space: StyleSpace, faces: FaceSet) -> StyleSpace:
    """The space with the principal axes of what is hidden in it, fitted on these faces."""
    bands = Bands(space)
    products = [torch.zeros(size, size, dtype=torch.float64) for size in bands.sizes[:GRAIN]]
    totals = [torch.zeros(size, dtype=torch.float64) for size in bands.sizes[:GRAIN]]
    for x in tensors_of(faces):
        for product, total, portion in zip(products, totals, bands.hidden(*bands.split(x)), strict=True):
            portion = portion.double()
            product += portion.T @ portion
            total += portion.sum(0)
    coarse, fine, colour = (_axes(product, total, len(faces)) for product, total in zip(products, totals, strict=True))
    return replace(
        space, coarse_axes=coarse[0], fine_axes=fine[0], colour_axes=colour[0],
        coarse_spread=coarse[1], fine_spread=fine[1], colour_spread=colour[1],
    )  # fmt: skip


def _axes(product: torch.Tensor, total: torch.Tensor, count: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Principal axes by falling variance, and the spread along them. Axes in half precision: orthonormal to 1e-3 is far
    finer than uint8, and half the size of the network's file."""
    mean = total / count
    variance, axes = np.linalg.eigh((product / count - mean[:, None] * mean).numpy())
    groups = np.sqrt(variance[::-1].clip(ROUNDING**2)).reshape(-1, NEIGHBOURS).mean(1)
    # The few strongest vary with light and pose, which the network expects: what it does not is much less.
    spread = np.repeat(np.minimum(groups, SPREAD_LIMIT * np.median(groups)), NEIGHBOURS)
    return axes[:, ::-1].astype(np.float16), spread.astype(np.float32)
