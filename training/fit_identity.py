"""Phase 1, closed form: which directions of the recogniser's embedding tell people apart, beyond their attributes."""

from __future__ import annotations

import torch

from mfm_edge.style import IDENTITY
from training.data import FaceSet, tensors_of
from training.fit_person import between_people
from training.identity import IdentitySpace
from training.recogniser import Recogniser, View
from training.regression import ridge_regression

__all__ = ["fit_identity"]

RIDGE = 1e-3  # of the regression on attributes, where nobody has one


def fit_identity(faces: FaceSet, recogniser: Recogniser) -> IdentitySpace:
    """The strongest principal components of how people differ, whitened, and shrunk by how little one photograph tells
    of each (two minutes for 40,000 faces)."""
    with torch.no_grad():
        embeddings = torch.cat([recogniser(x, View.straight(len(x)))[0] for x in tensors_of(faces, 64)]).double()
    known = torch.nn.functional.pad(torch.from_numpy(faces.attributes).double(), (0, 1), value=1.0)
    expected = ridge_regression(known, embeddings, RIDGE)
    left = embeddings - known @ expected
    variance, axes = torch.linalg.eigh(between_people(left, torch.from_numpy(faces.identities)))
    variance, axes = variance.flip(0)[:IDENTITY].clamp_min(1e-6), axes.flip(1)[:, :IDENTITY]
    of_pictures = (left @ axes).square().mean(0)
    return IdentitySpace(expected.float(), (axes * variance.sqrt() / of_pictures).float())
