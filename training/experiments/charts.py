"""Charts of a report, as PNG: rates as bars, confusion matrices, and distances against what a recogniser tolerates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["save_bars", "save_distances", "save_matrices"]

_DPI = 110


def save_bars(path: Path, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> Path:
    """series: title -> a rate in 0..1 for each of the groups, side by side with their figures. Returns the path."""
    figure = Figure(figsize=(1.5 + 2.2 * len(groups), 4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(series)
    for i, (title, rates) in enumerate(series.items()):
        places = np.arange(len(groups)) + (i - (len(series) - 1) / 2) * width
        bars = axis.bar(places, rates, width, label=title)
        axis.bar_label(bars, fmt="%.3f", fontsize=7)
    axis.set_xticks(range(len(groups)), groups)
    axis.set(ylim=(0, 1.08), ylabel="share of faces")
    figure.legend(loc="outside upper center", ncols=len(series), fontsize=8)
    figure.savefig(path, dpi=_DPI)
    return path


def save_matrices(
    path: Path, matrices: Mapping[str, NDArray[np.float64]], rows: Sequence[str], columns: Sequence[str]
) -> Path:
    """matrices: title -> (len(rows), len(columns)) shares in 0..1, drawn next to each other. Returns the path."""
    figure = Figure(figsize=(0.6 + 2.6 * len(matrices), 3), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
        axis.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
        for (row, column), share in np.ndenumerate(matrix):
            axis.text(column, row, f"{share:.3f}", ha="center", va="center", color="white" if share > 0.5 else "black")
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
    figure.savefig(path, dpi=_DPI)
    return path


def save_distances(path: Path, panels: Mapping[str, Mapping[str, NDArray[np.float64]]], same: float) -> Path:
    """panels: title -> kind -> distances of many pairs, of which boxes show the quartiles and whiskers the extremes.
    same: up to which a pair is one person. Returns the path."""
    figure = Figure(figsize=(1.5 + 3.2 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, kinds) in zip(axes, panels.items(), strict=True):
        axis.boxplot([values.ravel() for values in kinds.values()], whis=(0, 100), widths=0.6)
        axis.axhline(same, color="tab:red", linestyle="--", linewidth=1.5)
        axis.set_xticks(range(1, len(kinds) + 1), kinds, rotation=35, ha="right", fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("distance / tolerance")
    figure.savefig(path, dpi=_DPI)
    return path
