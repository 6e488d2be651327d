"""Phase 1, closed form: the whitened eigenface space in which a key turns the identity of a face.

The paper builds its style latent with PCA and clusters it by attribute (its section 4.2). Here the space is spatial:
principal components of the coarse luminance inside the face, 12x12 wavelet coefficients of the window. Directions that
must stay as in the input are taken out: brightness and contrast, the strongest components (lighting), and those that
carry smile, mouth opening and pose. What is left is what a key may turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import BLOCK, COORDINATES, face_blocks
from mfm_edge.types import WINDOW
from training.data import FaceSet, to_tensor
from training.wavelet import wavelet

__all__ = ["COARSE_SCALE", "StyleSpace", "coarse_luminance", "fit_style_space", "luminance"]

LIGHTING_COMPONENTS = 4
REST_SHARE = 0.4  # coefficients that belong to the face by less than this are drawn on by the key only
COARSE_SCALE = 4.0  # a coarse wavelet coefficient against the luminance that it is a mean of
KEPT_ATTRIBUTES = ("smiling", "mouth_open")


@dataclass(frozen=True, slots=True)
class StyleSpace:
    """analysis (144, COORDINATES) float32: coarse luminance of the window -> whitened coordinates;
    synthesis (COORDINATES, 144) float32: change of coordinates -> change of coarse luminance, the exact inverse;
    rest (144, K) float32: orthonormal, what may change in the face besides: coordinates and what stays do not see it.
    """

    analysis: NDArray[np.float32]
    synthesis: NDArray[np.float32]
    rest: NDArray[np.float32]

    def tensors(self) -> dict[str, torch.Tensor]:
        """By name, to be saved; `StyleSpace.load` is the inverse."""
        return {field.name: torch.from_numpy(getattr(self, field.name)) for field in fields(self)}

    @staticmethod
    def load(tensors: Mapping[str, torch.Tensor]) -> StyleSpace:
        """From a mapping that holds `tensors()`, perhaps among others."""
        return StyleSpace(**{field.name: tensors[field.name].float().numpy() for field in fields(StyleSpace)})


def luminance(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) RGB -> (N, 1, H, W), weights of Rec. 601."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def coarse_luminance(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, 128, 128) RGB in -1..1 -> (N, 1, 12, 12): smooth means of about the window's 8 px blocks, in -1..1."""
    top, left, side = WINDOW
    grid = torch.nn.functional.avg_pool2d(luminance(x[:, :, top : top + side, left : left + side]), 2)
    rows = wavelet(side // 2, 2)[: side // BLOCK]
    return rows @ grid @ rows.T / COARSE_SCALE


def fit_style_space(faces: FaceSet) -> StyleSpace:
    """Fit the space on the training faces (half a minute for 40,000)."""
    starts = range(0, len(faces), 1000)
    coarse = [coarse_luminance(to_tensor(faces.crops[i : i + 1000])).flatten(1).numpy() for i in starts]
    mask = face_blocks().reshape(-1).astype(np.float64)
    weighted = np.concatenate(coarse).astype(np.float64) * mask
    mean = weighted.mean(0)
    # Orthogonal to the flat picture and to the mean face: brightness and contrast of the input pass through unchanged,
    # and coordinates are linear in the picture, so nothing has to be estimated from it when restoring.
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
    inside = mask > REST_SHARE
    readings = np.concatenate([analysis, mask[:, None] * basis], 1)[inside]
    rest = np.zeros((len(mask), int(inside.sum()) - readings.shape[1]))
    rest[inside] = np.linalg.svd(readings)[0][:, readings.shape[1] :]
    return StyleSpace(analysis.astype(np.float32), synthesis.astype(np.float32), rest.astype(np.float32))
