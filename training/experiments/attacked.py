"""Trained attackers against people that they have never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.attacks.inversion import Inversion
from training.attacks.oracle import Oracle
from training.attacks.pairs import make_pairs
from training.data import FaceSet
from training.experiments.made import WRONG, Made
from training.experiments.pictures import save_grid
from training.experiments.subject import Subject
from training.metrics.recovery import face_psnr
from training.report import Goal, Section

__all__ = ["attacked"]

_SHOWN = 6


def attacked(subject: Subject, made: Made, known: FaceSet, folder: Path, *, minutes: float) -> Section:
    """known: the attackers' own faces. minutes: of processor time, to train each."""
    pairs = make_pairs(subject.engine, known, np.random.default_rng(4))
    oracle = Oracle.train(pairs, minutes=minutes)
    found = float(oracle.right(made["y"], made["r"]).mean())
    refused = float(np.mean([~oracle.right(made["y"], made[f"w: {kind}"]) for kind in WRONG]))
    section = Section("Trained attackers")
    section.goals.append(Goal("oracle: right and wrong factors told apart, balanced accuracy", (found + refused) / 2,
                              "<= 0.55"))  # fmt: skip
    inversion = Inversion.train(pairs, subject.models, minutes=minutes)
    guess = inversion.restored(made["y"])
    for judge in made.judges:
        share = float(judge.same(made.vectors(judge, "x"), judge.embed(guess)).mean())
        before = float(made.matched(judge, "x", "y").mean())
        section.goals += [
            Goal(f"inversion without the password: re-identified, {judge.name}", share, "<= 0.01"),
            Goal(f"the surrogates themselves: matched, {judge.name}", before, "to compare"),
        ]
    nearer = [float(np.median(face_psnr(made["x"], crops))) for crops in (guess, made["y"])]
    section.notes.append(
        f"Each attacker learned for {minutes:g} minutes of processor time from {len(known)} faces of other people "
        f"under random keys ({oracle.steps} and {inversion.steps} steps). The oracle sees surrogate and result "
        f"together, never the original: it knew {found:.1%} of the right and {refused:.1%} of the wrong ones. "
        f"Inside the face the inversion comes to {nearer[0]:.1f} dB of the original, the surrogate itself to "
        f"{nearer[1]:.1f} dB. More time or data may do better."
    )
    columns = {"original": made["x"], "surrogate": made["y"], "inversion": guess, "restored": made["r"]}
    picture = save_grid(folder / "inversion.png", {title: crops[:_SHOWN] for title, crops in columns.items()})
    section.pictures["What the inversion makes of surrogates"] = picture
    return section
