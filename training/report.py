"""What an experiment found, as JSON and as a readable page with tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Goal", "Section", "Table", "to_text", "write_report"]


class Goal:
    """One row: what, the measured value, and the goal of the quality table as text."""

    def __init__(self, what: str, value: float, goal: str, *, counts: bool = True) -> None:
        self.what, self.value, self.goal, self.counts = what, value, goal, counts

    def to_mapping(self) -> dict[str, Any]:
        return {"what": self.what, "value": round(float(self.value), 4), "goal": self.goal, "counts": self.counts}


@dataclass(frozen=True, slots=True)
class Table:
    """title, names of the columns, and rows of as many cells: text, numbers, or None where there is nothing."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]

    def to_mapping(self) -> dict[str, Any]:
        rows = [[round(c, 4) if isinstance(c, float) else c for c in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}

    def to_markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *([_cell(c) for c in row] for row in self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(slots=True)
class Section:
    """What one experiment found. notes: sentences that a reader of the figures needs; pictures: title -> file."""

    title: str
    goals: list[Goal] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def to_text(rows: Sequence[Goal]) -> str:
    """Rows of the quality table as plain text."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'what':{width}}  {'value':>8}  goal"]
    lines += [
        f"{row.what:{width}}  {row.value:8.3f}  {row.goal}{'' if row.counts else '  (does not count)'}" for row in rows
    ]
    return "\n".join(lines)


def write_report(
    folder: Path, sections: Sequence[Section], *, about: dict[str, Any], title: str = "Evaluation"
) -> None:
    """report.json and report.md into a folder that exists. about: what was measured, on how much."""
    content = {
        **about,
        "sections": [
            {
                "title": section.title,
                "rows": [goal.to_mapping() for goal in section.goals],
                "tables": [table.to_mapping() for table in section.tables],
                "pictures": {title: path.name for title, path in section.pictures.items()},
                "notes": section.notes,
                "seconds": round(section.seconds, 1),
            }
            for section in sections
        ],
    }
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = [f"# {title}", "", *(f"- {name}: {value}" for name, value in about.items())]
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        lines += [note + "\n" for note in section.notes]
        if section.goals:
            rows = [[g.what + ("" if g.counts else " (does not count)"), float(g.value), g.goal] for g in section.goals]
            lines += [Table("Against the goals", ("measured", "value", "goal"), rows).to_markdown(), ""]
        for table in section.tables:
            lines += [table.to_markdown(), ""]
        for title, path in section.pictures.items():
            lines += [f"**{title}**", "", f"![{title}]({path.name})", ""]
        if section.seconds:
            lines.append(f"({section.seconds:.0f} s)")
    (folder / "report.md").write_text("\n".join(lines) + "\n")


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"
