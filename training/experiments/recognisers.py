"""Figures 16 and 17 of the paper: how often each recogniser is misled and satisfied, and its confusion matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.experiments.charts import save_bars, save_matrices
from training.experiments.made import Made
from training.metrics.confusion import confusion
from training.report import Section, Table

__all__ = ["recognisers"]

_RATES = ("de-identified", "re-identified", "from JPEG q75")


def recognisers(made: Made, folder: Path) -> Section:
    """Writes figure-16.png and figure-17.png into folder."""
    rates: dict[str, list[float]] = {}
    matrices = {}
    for judge in made.judges:
        share = {kind: float(made.matched(judge, "x", kind).mean()) for kind in ("y", "r", "r: JPEG")}
        rates[judge.name] = [1 - share["y"], share["r"], share["r: JPEG"]]
        for kind, title in (("r", "restored"), ("y", "anonymised")):
            similarity = (made.vectors(judge, kind) @ made.vectors(judge, "x").T).numpy()
            matrices[judge.name, title] = np.array(confusion(similarity >= judge.threshold))
    by_rate = dict(zip(_RATES, zip(*rates.values(), strict=True), strict=True))
    restored = {judge: matrix for (judge, title), matrix in matrices.items() if title == "restored"}
    return Section(
        "Figures 16 and 17: recognisers",
        tables=[
            Table("Figure 16: rates", ("recogniser", *_RATES), [[name, *shares] for name, shares in rates.items()]),
            Table(
                "Figure 17: normalised confusion matrices, faces against originals",
                ("recogniser", "faces", "same: matched", "same: not", "others: matched", "others: not"),
                [[*names, *matrix.ravel().tolist()] for names, matrix in matrices.items()],
            ),
        ],
        pictures={
            "Figure 16: de-identified and re-identified": save_bars(folder / "figure-16.png", list(rates), by_rate),
            "Figure 17: restored faces against originals, normalised by rows": save_matrices(
                folder / "figure-17.png", restored, rows=("same", "others"), columns=("matched", "not")
            ),
        },
        notes=[
            f"Each face against its own original ({len(made)} pairs) and against everybody else's "
            f"({len(made) * (len(made) - 1)} pairs; a few show the same person in another photo). Thresholds were "
            "fixed beforehand at a false-accept rate of 0.1 %."
        ],
    )
