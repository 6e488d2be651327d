"""Phase 1, closed form: how what surrounds a face may be imagined otherwise, where a key asks for a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import SURROUNDINGS
from training.data import FaceSet
from training.fit_person import contexts
from training.person import PLACES
from training.style_space import StyleSpace
from training.targets import TargetFinder

__all__ = ["fit_surroundings"]

FAR = 3.05  # how far a key goes, against how much the surroundings of two people in like pictures differ
PAIRS = 12_000


def fit_surroundings(space: StyleSpace, faces: FaceSet) -> StyleSpace:
    """The space with principal components of how light and colour around faces differ between people whose pictures are
    like each other in pose, expression, gender and colours; landmarks are the same in all that is imagined."""
    rng = np.random.default_rng(0)
    some = rng.permutation(len(faces))[:PAIRS]
    alike = _alike(TargetFinder(faces), some, rng)
    first, second = (contexts(space, faces.take(index))[0][:, :PLACES] for index in (some, alike))
    apart = second - first
    variance, axes = torch.linalg.eigh(apart.T @ apart / len(apart))
    strongest = FAR * variance.clamp_min(0).sqrt() * axes
    surroundings = torch.zeros(SURROUNDINGS, len(space.context_mean))
    surroundings[:, :PLACES] = strongest.flip(1)[:, :SURROUNDINGS].T
    return replace(space, surroundings=surroundings.numpy().astype(np.float32))


def _alike(finder: TargetFinder, index: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Of each face another person in a like picture, whatever the attributes; some at a time, for memory's sake."""
    parts = np.array_split(index, max(1, len(index) // 200))
    nothing = np.zeros((len(index), len(ATTRIBUTES)), np.float32)
    return np.concatenate([finder.find(part, nothing[: len(part)], rng) for part in parts])
