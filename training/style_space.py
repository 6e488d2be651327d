"""Phase 1, closed form: the whitened eigenface space in which a key turns the identity of a face.

The paper builds its style latent with PCA and clusters it by attribute (its section 4.2). Here the space is spatial:
principal components of the 32x32 luminance thumbnails, inside the face. Directions that must stay as in the input are
taken out: brightness and contrast, the strongest components (lighting), and those that carry smile, mouth opening and
pose. What is left is what a key may turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import COORDINATES, PLANE, face_mask
from mfm_edge.types import CROP_SIZE
from training.data import FaceSet, to_tensor

__all__ = ["StyleSpace", "fit_style_space", "luminance", "thumbnail"]

COMPONENTS = 96
LIGHTING_COMPONENTS = 5
KEPT_ATTRIBUTES = ("smiling", "mouth_open")


@dataclass(frozen=True, slots=True)
class StyleSpace:
    """analysis (1024, COORDINATES) float32: thumbnail -> whitened coordinates;
    synthesis (COORDINATES, 1024) float32: change of coordinates -> change of thumbnail, the exact inverse of it."""

    analysis: NDArray[np.float32]
    synthesis: NDArray[np.float32]


def thumbnail(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, 128, 128) RGB in -1..1 -> (N, 1, 32, 32) luminance in -1..1."""
    return torch.nn.functional.avg_pool2d(luminance(x), CROP_SIZE // PLANE)


def luminance(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) RGB -> (N, 1, H, W), weights of Rec. 601."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _regress(z: NDArray[np.float64], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Unit direction in z along which `values` changes (least squares on whitened z)."""
    direction = z.T @ (values - values.mean()) / len(z)
    return np.asarray(direction / np.linalg.norm(direction))


def fit_style_space(faces: FaceSet) -> StyleSpace:
    """Fit the space on the training faces (a minute for 40,000)."""
    mask = face_mask(PLANE).reshape(-1).astype(np.float64)
    thumbs = [thumbnail(to_tensor(faces.crops[i : i + 1000])).flatten(1).numpy() for i in range(0, len(faces), 1000)]
    weighted = np.concatenate(thumbs).astype(np.float64) * mask
    mean = weighted.mean(0)
    # Orthogonal to the flat picture and to the mean face: brightness and contrast of the input pass through unchanged,
    # and coordinates are linear in the picture, so nothing has to be estimated from it when restoring.
    invariant, _ = np.linalg.qr(np.stack([mask, mean], 1))
    centred = weighted - mean
    centred -= (centred @ invariant) @ invariant.T
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    variance, axes = variance[::-1][:COMPONENTS], axes[:, ::-1][:, :COMPONENTS]
    spread = np.sqrt(variance)
    z = centred @ (axes / spread)

    nose = faces.landmarks[:, 2] - faces.landmarks.mean(1)
    kept = [np.eye(COMPONENTS)[i] for i in range(LIGHTING_COMPONENTS)]
    kept += [_regress(z, faces.attributes[:, ATTRIBUTES.index(name)].astype(np.float64)) for name in KEPT_ATTRIBUTES]
    kept += [_regress(z, nose[:, 0]), _regress(z, nose[:, 1])]
    basis, _ = np.linalg.qr(np.stack(kept, 1))
    complement = np.linalg.svd(np.eye(COMPONENTS) - basis @ basis.T)[0][:, : COMPONENTS - basis.shape[1]]
    # Strongest pictures first, so that bands of coordinates hold similar variance.
    _, turn = np.linalg.eigh(complement.T @ np.diag(variance) @ complement)
    chosen = complement @ turn[:, ::-1][:, :COORDINATES]

    analysis = (axes / spread) @ chosen
    pictures = (axes * spread) @ chosen
    # The plane is added to the thumbnail and weighed by the mask again when it is read: make reading exact.
    synthesis = pictures @ np.linalg.inv((analysis * mask[:, None]).T @ pictures)
    return StyleSpace((analysis * mask[:, None]).astype(np.float32), synthesis.T.astype(np.float32))
