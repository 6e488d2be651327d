"""Figures 16 and 17 of the paper: how often each recogniser is misled and satisfied, and its confusion matrices."""

from __future__ import annotations

from training.experiments.made import Made
from training.metrics.confusion import confusion
from training.report import Section, Table

__all__ = ["recognisers"]


def recognisers(made: Made) -> Section:
    rates: list[list[str | float | None]] = []
    matrices: list[list[str | float | None]] = []
    for judge in made.judges:
        share = {kind: float(made.matched(judge, "x", kind).mean()) for kind in ("y", "r", "r: JPEG")}
        rates.append([judge.name, 1 - share["y"], share["r"], share["r: JPEG"]])
        for kind, title in (("r", "restored"), ("y", "anonymised")):
            similarity = (made.vectors(judge, kind) @ made.vectors(judge, "x").T).numpy()
            (hit, missed), (false, refused) = confusion(similarity >= judge.threshold)
            matrices.append([judge.name, title, hit, missed, false, refused])
    return Section(
        "Figures 16 and 17: recognisers",
        tables=[
            Table("Figure 16: rates", ("recogniser", "de-identified", "re-identified", "from JPEG q75"), rates),
            Table(
                "Figure 17: normalised confusion matrices, faces against originals",
                ("recogniser", "faces", "same: matched", "same: not", "others: matched", "others: not"),
                matrices,
            ),
        ],
        notes=[
            f"Each face against its own original ({len(made)} pairs) and against everybody else's "
            f"({len(made) * (len(made) - 1)} pairs; a few show the same person in another photo). Thresholds were "
            "fixed beforehand at a false-accept rate of 0.1 %."
        ],
    )
