"""Phase 1, closed form: what surrounds a face says of its coordinates, and how people differ from that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mfm_edge.factors import ATTRIBUTES
from training.bands import Bands
from training.data import FaceSet, tensors_of
from training.person import Context
from training.regression import ridge_regression
from training.style_space import StyleSpace

__all__ = ["between_people", "contexts", "fit_person"]

LEAST_SPREAD = 1e-3  # of what is seen: the projection leaves but rounding in some directions, not to be enlarged
PLAIN_SHARE = 0.85  # of the faces, those nearest to the mean, twice
VARIED = 2.9  # the variety asked for against theirs: more makes two keys' faces differ more, and both less natural
OF_PICTURES = 0.03  # of what pictures vary by beside what people do, so that every real face is somebody's
RIDGE = 0.02  # of the regression of coordinates on their context, which rounding and codecs disturb


def contexts(space: StyleSpace, faces: FaceSet) -> tuple[Tensor, Tensor]:
    """The faces' contexts (N, CONTEXT) and coordinates (N, COORDINATES), float64."""
    bands, analysis = Bands(space), torch.from_numpy(space.analysis)
    context = Context(bands, space)
    light_analysis = torch.from_numpy(space.light_analysis)
    seen, own = [], []
    places = torch.from_numpy(faces.landmarks).split(500)
    for x, landmarks in zip(tensors_of(faces, 500), places, strict=True):
        coarse = bands.coarse(*bands.split(x))[0].flatten(1)
        seen.append(context(x, landmarks, coarse @ light_analysis).double())
        own.append((coarse @ analysis).double())
    return torch.cat(seen), torch.cat(own)


def fit_person(space: StyleSpace, faces: FaceSet) -> StyleSpace:
    """The space with what a face's context says of its coordinates, fitted on these faces by linear regression."""
    known, coordinates = contexts(space, faces)
    mean, spread = known.mean(0), known.std(0)
    spread[spread < LEAST_SPREAD] = 1
    known = (known - mean) / spread
    expectation = ridge_regression(known, coordinates, RIDGE)
    left = coordinates - known @ expectation
    # Whom a key asks for should be plain people: not the glasses, hats and odd light that vary most.
    plain = torch.from_numpy(~faces.attributes[:, ATTRIBUTES.index("eyeglasses")])
    left, whose = left[plain], torch.from_numpy(faces.identities)[plain]
    for _ in range(2):
        radius = (left @ torch.linalg.inv(_covariance(left)) * left).sum(1)
        near = radius <= radius.quantile(PLAIN_SHARE)
        left, whose = left[near], whose[near]
    variety = VARIED * _root(between_people(left, whose) + OF_PICTURES * _covariance(left))
    found = (part.numpy().astype(np.float32) for part in (mean, spread, expectation, variety))
    return replace(space, **dict(zip(("context_mean", "context_spread", "expectation", "variety"), found, strict=True)))


def between_people(left: Tensor, whose: Tensor) -> Tensor:
    """What is unexpected of pictures (N, K) and whose each is (N,) -> the covariance (K, K) of people's means, less
    what few pictures make of them by chance. Light, hair and hats differ between pictures of one person, too: nine
    tenths of what is unexpected do. With one picture of each nothing can be told apart, and it is that of pictures."""
    _, person, pictures = whose.unique(return_inverse=True, return_counts=True)
    if len(pictures) == len(left):
        return _covariance(left)
    mean = torch.zeros(len(pictures), left.shape[1], dtype=left.dtype).index_add(0, person, left) / pictures[:, None]
    apart = left - mean[person]
    within = apart.T @ apart / (len(left) - len(pictures))
    return mean.T @ mean / len(pictures) - within * (1 / pictures).mean()


def _covariance(left: Tensor) -> Tensor:
    """Also where N is small."""
    return left.T @ left / len(left) + 1e-4 * torch.eye(left.shape[1], dtype=left.dtype)


def _root(covariance: Tensor) -> Tensor:
    """Matrix that makes numbers with this covariance of uncorrelated ones."""
    variance, axes = torch.linalg.eigh(covariance)
    return (axes * variance.clamp_min(1e-4).sqrt()) @ axes.T
