"""How often an attack succeeded, and what so many tries prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

__all__ = ["Row", "to_markdown", "to_text"]


@dataclass(frozen=True, slots=True)
class Row:
    """hits of pairs: how often an attack succeeded. goal: the largest share that the project promises, None for rows
    that are there to compare with. worth: how many independent pairs these are worth, when some are of one person;
    None: all. people: how many different people, None: one a pair."""

    attack: str
    judge: str
    hits: int
    pairs: int
    goal: float | None = None
    worth: float | None = None
    people: int | None = None

    @classmethod
    def by_person(cls, attack: str, judge: str, hits: ArrayLike, pairs: ArrayLike, goal: float | None = None) -> Row:
        """From counts a person, (N,) each. Who is matched once is matched again more easily than others, so that many
        pairs of few people prove less: they are worth what the spread over people says (the design effect)."""
        h, n = (np.asarray(counts, np.float64) for counts in (hits, pairs))
        h, n = h[n > 0], n[n > 0]
        total, people, share = n.sum(), len(n), h.sum() / n.sum()
        worth = total
        if people > 1 and 0 < share < 1:
            spread = people / (people - 1) * np.square(h - share * n).sum() / total**2
            worth = min(total, share * (1 - share) / spread)
        return cls(attack, judge, int(h.sum()), int(total), goal, float(worth), people)

    @property
    def share(self) -> float:
        return self.hits / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """The share's 95 % interval: Clopper and Pearson's, with the pairs' worth as Korn and Graubard use it. A count
        of 0 is not a share of 0."""
        n = self.pairs if self.worth is None else self.worth
        hits = self.share * n
        low = beta.ppf(0.025, hits, n - hits + 1) if self.hits else 0.0
        high = beta.ppf(0.975, hits + 1, n - hits) if self.hits < self.pairs else 1.0
        return float(low), float(high)

    def to_mapping(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "attack": self.attack, "judge": self.judge, "hits": self.hits, "pairs": self.pairs,
            "people": self.pairs if self.people is None else self.people,
            "share": round(self.share, 6), "interval": [round(low, 6), round(high, 6)], "goal": self.goal,
        }  # fmt: skip


def to_text(rows: list[Row]) -> str:
    """The table as plain text."""
    width = max(len(row.attack) for row in rows)
    lines = [f"{'attack':{width}}  {'recogniser':13}  {'hits':>13}  {'share':>6}  95 % interval   goal"]
    for row in rows:
        low, high = row.interval
        goal = "" if row.goal is None else f"<= {row.goal:g}"
        lines.append(
            f"{row.attack:{width}}  {row.judge:13}  {row.hits:>6}/{row.pairs:<6}  {row.share:6.3f}  "
            f"{low:.4f}-{high:.4f}   {goal}"
        )
    return "\n".join(lines)


def to_markdown(rows: list[Row]) -> str:
    """The table with a column a recogniser: share of pairs in per cent, and its interval."""
    judges = list(dict.fromkeys(row.judge for row in rows))
    attacks = dict.fromkeys(row.attack for row in rows)
    found = {(row.attack, row.judge): row for row in rows}
    lines = [f"| attack | pairs | {' | '.join(judges)} | goal |", "|---" * (len(judges) + 3) + "|"]
    for attack in attacks:
        some = [found.get((attack, judge)) for judge in judges]
        first = next(row for row in some if row is not None)
        goal = "" if first.goal is None else f"<= {100 * first.goal:g}"
        lines.append(f"| {attack} | {first.pairs} | {' | '.join(map(_cell, some))} | {goal} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    low, high = (100 * end for end in row.interval)
    return f"{100 * row.share:.3g} ({low:.3g} to {high:.3g})"
