"""The losses, named as in the paper where it has them. I original, F_d anonymised, F_r restored."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mfm_edge.style import face_mask
from training.recogniser import distance

__all__ = [
    "adversarial_identity",
    "appearance",
    "asked_identity",
    "attribute_classification",
    "clipped",
    "domain_classification",
    "expression",
    "feature_dissimilarity",
    "hinge_discriminator",
    "hinge_generator",
    "push_away",
    "push_features",
    "reconstruction",
    "swap",
    "turned",
    "unexpected",
    "unnatural",
]

_MASK = torch.from_numpy(face_mask(128))[None, None]


def _ellipse(
    height: int, width: int, centre: tuple[float, float], radii: tuple[float, float], device: torch.device
) -> Tensor:
    """(height, width): 1 inside an ellipse given in shares of the sides (x, y), falling smoothly to 0 outside it."""
    y = ((torch.arange(height, device=device) + 0.5) / height - centre[1]) / radii[1]
    x = ((torch.arange(width, device=device) + 0.5) / width - centre[0]) / radii[0]
    return torch.exp(-((x[None] ** 2 + y[:, None] ** 2) ** 2))


def appearance(face: Tensor, original: Tensor) -> Tensor:
    """One term of L_b, equation 1: mean |F - I|. (N,3,H,W) each, -1..1."""
    return (face - original).abs().mean()


def attribute_classification(logits: Tensor, wanted: Tensor) -> Tensor:
    """L_attr_cls, equation 2: cross-entropy of V's attribute logits (N,A) with what is wanted (N,A) in {-1,0,+1}; 0 is
    "not asked" and does not count."""
    asked = wanted.abs()
    losses = F.binary_cross_entropy_with_logits(logits, (wanted > 0).to(logits), reduction="none")
    return (losses * asked).sum() / asked.sum().clamp_min(1)


def adversarial_identity(logits: Tensor, identities: Tensor) -> Tensor:
    """One term of L_adv, equation 3: -log C_id(identity | F). logits (N,I) of phase 1; identities (N,) int64."""
    return F.cross_entropy(logits, identities)


def feature_dissimilarity(a: Tensor, b: Tensor, alike: Tensor) -> Tensor:
    """One term of L_feat, equations 4a and 4b: max(0, cos(C_feat(a), C_feat(b))), the cosine counted from `alike`,
    that of two different people, since this recogniser's embeddings are far from orthogonal."""
    return F.relu(F.cosine_similarity(a, b) - alike).mean() / (1 - alike)


def asked_identity(apart: Tensor, asked: Tensor) -> Tensor:
    """How two keys' faces of one original differ, in numbers (N,IDENTITY), against how what they ask for does: 1 - cos.
    The original, its light and the view have no part in differences."""
    return 1 - F.cosine_similarity(apart, asked).mean()


def reconstruction(restored: Tensor, original: Tensor) -> Tensor:
    """L_rec, equation 5: distance of the embeddings (N,D) of F_r and I."""
    return distance(restored, original).mean()


def domain_classification(discriminator_logits: Tensor, extractor_logits: Tensor) -> Tensor:
    """L_domain_cls, equation 6: |V(F) - C(F)|, the discriminator's view of F against the fixed extractor's."""
    return (discriminator_logits - extractor_logits).abs().mean()


def push_away(a: Tensor, b: Tensor, margin: float, apart: Tensor) -> Tensor:
    """Hinge on the distance of embeddings (N,D) in units of `apart`, that of two different people."""
    return F.relu(margin - distance(a, b) / apart).mean()


def push_features(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Local counterpart of `push_away` on the recogniser's two deeper feature maps, seen in the same view: no place in
    the face may look more alike, by cosine, than the same place of two different people. 1 for the same picture.

    a: maps (M,C,h,w) of faces; b: maps (M,C,h,w) of the people they must differ from, all different people.
    """
    terms = []
    for f, g in zip(a[1:], b[1:], strict=True):
        alike = F.cosine_similarity(g, g.roll(1, 0)).mean(0)
        excess = F.relu(F.cosine_similarity(f, g) - alike) / (1 - alike)
        # The face in the chip.
        weight = _ellipse(f.shape[2], f.shape[3], centre=(0.5, 0.51), radii=(0.43, 0.5), device=f.device)
        terms.append((excess * weight).mean() / weight.mean())
    return torch.stack(terms).mean()


def swap(features: list[Tensor], target_features: list[Tensor], face: Tensor, target: Tensor) -> Tensor:
    """Pull towards a real other face: recogniser feature maps, and half-resolution pixels inside the face."""
    deep = sum(F.l1_loss(f, t) / t.abs().mean() for f, t in zip(features[1:], target_features[1:], strict=True))
    pixels = F.avg_pool2d((face - target).mean(1, keepdim=True), 2).abs() * F.avg_pool2d(_MASK.to(face.device), 2)
    return deep + 4 * pixels.mean()


def clipped(face: Tensor) -> Tensor:
    """How far a face (N,3,H,W) leaves the range -1..1: what is clipped there is lost for restoring."""
    return F.relu(face.abs() - 0.98).mean()


def unexpected(left: list[Tensor], hidden: list[Tensor]) -> Tensor:
    """What the key has to scramble: the share of the variance of hidden parts that the network did not expect, summed
    over the portions. left, hidden: portions (N,K) of what was left over, and of all that there was."""
    varying = (portion - portion.mean(0) for portion in hidden)
    return torch.stack([a.square().mean() / b.square().mean() for a, b in zip(left, varying, strict=True)]).sum()


def turned(spots: Tensor, original: Tensor, unit: Tensor) -> Tensor:
    """By how much a face's spots (N,P,3) are moved from the original's as a whole: turned, shifted in the picture or
    enlarged; the mean distance that this takes them, in units of the distance between the eyes. What else moves them,
    the shape of a face, is the person's."""
    centred = original - original.mean(1, keepdim=True)
    x, y, z = centred.unbind(2)
    none, one = torch.zeros_like(x), torch.ones_like(x)
    ways = (none, -z, y), (z, none, -x), (-y, x, none), (x, y, z), (one, none, none), (none, one, none)
    motions = torch.stack([torch.stack(way, 2).flatten(1) for way in ways], 2)  # (N,3P,6)
    apart = (spots - original).flatten(1)[:, :, None]
    across = motions.transpose(1, 2)
    moved = motions @ torch.linalg.solve(across @ motions, across @ apart)
    return moved.view_as(spots).square().sum(2).add(1e-3).sqrt().mean() / unit


def expression(openings: Tensor, original: Tensor, unit: Tensor, kept: Tensor) -> Tensor:
    """By how much eyes and mouth are more or less open (N,K), in units of the distance between the eyes, where that is
    to stay: kept (N,K), 1 or 0."""
    return ((openings - original).abs() * kept).sum() / kept.sum().clamp_min(1) / unit


def hinge_generator(scores: list[Tensor]) -> Tensor:
    """Generator's side of the hinge loss over several score maps."""
    return -torch.stack([s.mean() for s in scores]).sum()


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Discriminator's side of the hinge loss over several score maps."""
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]).sum()


def unnatural(ratings: Tensor, wanted: float) -> Tensor:
    """By how much ratings (N,) that the eye is expected to give (training/ratings.py) fall short of `wanted`."""
    return F.relu(wanted - ratings).mean()
