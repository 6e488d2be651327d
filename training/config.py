"""Every number of a training run in one place; saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["PAPER_WEIGHTS", "Config", "Weights"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight of each loss. Those with an equation are the paper's; the rest is what measurement added."""

    b_anonymised: float = 0.0  # eq. 1, first term: |F_d - I|. Holds the network in y = x, hence off.
    b_restored: float = 25.0  # eq. 1, second term: |F_r - I|
    attr_cls: float = 10.0  # eq. 2
    attr_kept: float = 1.0  # the same for what nobody asks for and stays as in the original
    likely: float = 1.0  # the attributes that the context tells of the original, against its labels
    adv: float = 0.0  # eq. 3, on fixed identity labels
    feat: float = 24.0  # eq. 4
    feat_local: float = 21.0  # the same for the local features, as push_features
    identity: float = 40.0  # whose features are drawn is whom the key asks for
    rec: float = 1.0  # eq. 5
    domain_cls: float = 0.0  # eq. 6
    gan: float = 5.0  # hinge loss of all discriminators
    unnatural: float = 30.0  # what the eye is expected to say of surrogates and wrongly restored faces
    push: float = 6.5  # embedding of y at least `margin` away from x
    push_features: float = 6.5  # the same for the local features
    pull: float = 5.0  # y towards a real face that has the asked-for coordinates and identity
    clipped: float = 300.0  # y within the range of uint8: what is clipped cannot be restored
    turned: float = 300.0  # y's head as x's
    expression: float = 80.0  # y's eyes and mouth as open as x's, where no factor asks otherwise
    unexpected: float = 6.0  # what of x its content and coordinates do not let expect: the key has to hide it
    # What training/information.py bounds, in nats; 0 spares its networks altogether. Measured, not shipped.
    information_anonymised: float = 0.0  # eq. 8 and 12: what y tells of the person of x, as little as possible
    information_wrong: float = 0.0  # eq. 16 and 18 with a wrong key: what a wrongly restored face tells
    information_restored: float = 0.0  # eq. 16 and 17 with the right key: what a restored face tells, much of it


# The paper's own weights (below its equation 7), for comparison: nothing that measurement added.
PAPER_WEIGHTS = Weights(
    b_anonymised=20, b_restored=20, attr_cls=20, attr_kept=0, likely=0, adv=1, feat=10, rec=20, domain_cls=20, gan=1,
    feat_local=0, identity=0, push=0, push_features=0, pull=0, clipped=0, turned=0, expression=0, unexpected=0,
    unnatural=0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Config:
    """batch: faces a step. push_start/push_ramp: steps before which the push is at a quarter, and over which it grows.
    margin: distance that the push asks for, in units of the mean distance of two different people. wanted_rating: at
    which nobody has to look more natural, of 0 to 4 (training/ratings.py). chips: sizes at which the recogniser looks,
    drawn every step: at a single one it is answered by a pattern that no other recogniser sees."""

    batch: int = 8
    seed: int = 0
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 4e-4
    injection_rate: float = 5.0  # of what draws an identity, against all else that draws
    information_rate: float = 1e-3  # of the networks that bound information, where any of their weights is not 0
    ema: float = 0.999
    push_start: int = 100
    push_ramp: int = 300
    margin: float = 1.1
    wanted_rating: float = 3.5
    chips: tuple[int, ...] = (120, 128, 136, 150)
    cool_down: float = 0.6  # share of a run's minutes at its end in which the rates fall to nothing, linearly
    swap_share: float = 0.5  # share of a batch of which the key asks for a real other face
    small_share: float = 0.25  # share of a batch that is seen small or dark, as in frames
    phase1_steps: int = 600
    landmark_noise: float = 0.5  # px, what the mesh is off by
    checkpoint_minutes: float = 4.0
    bfloat16: bool = False  # convolutions, on processors that have units for it
    sample_every: int = 250
    phase3_learning_rate: float = 1e-3
    phase3_ema: float = 0.998
    phase3_alone: float = 0.25  # share of batches that are restored from crops, without frames around them
    phase3_shelf: int = 600  # batches at hand, 4 MB each
    phase3_looks: int = 4  # batches learned from for each that is made
    weights: Weights = field(default_factory=Weights)
