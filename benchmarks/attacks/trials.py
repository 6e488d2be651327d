"""Guessing at scale: trials that run on all cores, are logged one by one, and go on where they were stopped.

A trial takes one person, protects a photo with a secret of its own, and restores it with guesses of every kind. Trial
n is the same in every run, whatever ran before it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.attacks.counts import Row
from benchmarks.attacks.guesses import Guess, Secret
from benchmarks.attacks.setting import Setting
from training.experiments.subject import modify

__all__ = ["Trials"]

GOAL = 0.001


class Trials:
    """Trials of some kinds of guesses, kept in a log: a line that says what was tried, then a line a trial.

    what: is guessed. each: guesses of every kind a trial. goal: of each kind. Raises SystemExit for a log of another
    model or of other settings.
    """

    def __init__(
        self, setting: Setting, kinds: Mapping[str, Guess], log: Path, *, what: str = "factors",
        seed: int = 0, each: int = 1, goal: float | None = None,
    ) -> None:  # fmt: skip
        self.setting, self.kinds, self.seed, self.each, self.goal = setting, kinds, seed, each, goal
        self.log = log
        self._judges = setting.judges
        self._originals = [judge.embed(setting.first.crops) for judge in setting.judges]
        people = len(setting.first)
        self._names = (f"surrogate as it is ({what} tried)", f"right {what} (to compare)", *kinds)
        # Hits by kind, recogniser and person; trials by person.
        self._hits = np.zeros((len(self._names), len(self._judges), people), np.int64)
        self._trials = np.zeros(people, np.int64)
        self._done: set[int] = set()
        head = {"model_id": setting.engine.model_id, "people": people, "seed": seed, "each": each,
                "kinds": list(kinds), "judges": [judge.name for judge in setting.judges]}  # fmt: skip
        if log.exists() and log.stat().st_size:
            self._resume(log.read_text().splitlines(keepends=True), head)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(json.dumps(head) + "\n")

    @property
    def pairs(self) -> int:
        """Wrong guesses so far, each of a picture and a code."""
        return len(self._done) * self.each * len(self.kinds)

    def run(self, *, seconds: float, pairs: int) -> None:
        """Go on until there are so many wrong guesses in all, or the time is up."""
        started, before = time.monotonic(), self.pairs
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a trial a core is faster than a trial on all cores
        try:
            with self.log.open("a") as log, ThreadPoolExecutor(os.cpu_count()) as pool:
                waiting, numbers = set(), self._numbers()
                aim = before
                while True:
                    late = time.monotonic() - started > seconds
                    while not late and len(waiting) < 2 * (os.cpu_count() or 1) and aim < pairs:
                        waiting.add(pool.submit(self._trial, next(numbers)))
                        aim += self.each * len(self.kinds)
                    if not waiting:
                        break
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        number, hits = future.result()
                        log.write(json.dumps({"trial": number, "hits": hits.tolist()}) + "\n")
                        log.flush()
                        self._count(number, hits)
        finally:
            torch.set_num_threads(threads)
        passed = time.monotonic() - started
        rate = (self.pairs - before) / passed
        print(f"{self.log}: {self.pairs} pairs, {rate:.1f} a second in the last {passed:.0f} s", file=sys.stderr)

    def rows(self) -> list[Row]:
        """Every kind by every recogniser, and all kinds together where they share a goal."""
        each = np.array([1, 1] + [self.each] * len(self.kinds))
        rows = [
            Row.by_person(name, judge.name, self._hits[k, j], self._trials * each[k], self.goal if k > 1 else None)
            for k, name in enumerate(self._names)
            for j, judge in enumerate(self._judges)
        ]
        if self.goal is not None:
            pairs = self._trials * each[2:].sum()
            rows += [
                Row.by_person("all of these wrong guesses", judge.name, self._hits[2:, j].sum(0), pairs, self.goal)
                for j, judge in enumerate(self._judges)
            ]
        return rows

    def _trial(self, number: int) -> tuple[int, NDArray[np.int64]]:
        """Hits (kinds, recognisers), the surrogate itself and the right key first."""
        rng = np.random.default_rng([self.seed, number])
        person = self._person(number)
        face, secret = self.setting.first[person : person + 1], Secret.draw(rng)
        secret = replace(secret, slot=self.setting.slots(face, [secret.keys])[0])
        keys = [secret.key, *(guess(secret, rng) for guess in self.kinds.values() for _ in range(self.each))]
        y = modify(self.setting.engine, face.crops, face.landmarks, [secret.key])
        tried = modify(self.setting.engine, y, face.landmarks, [key.inverse() for key in keys])
        faces = np.concatenate([y, tried])
        hits = np.zeros((len(self._names), len(self._judges)), np.int64)
        for j, (judge, originals) in enumerate(zip(self._judges, self._originals, strict=True)):
            same = judge.same(originals[person].expand(len(faces), -1), judge.embed(faces))
            hits[:2, j] = same[:2]
            hits[2:, j] = same[2:].reshape(len(self.kinds), self.each).sum(1)
        return number, hits

    def _person(self, number: int) -> int:
        """Everybody once before anybody twice."""
        return number % len(self.setting.first)

    def _numbers(self) -> Iterator[int]:
        return (number for number in count() if number not in self._done)

    def _count(self, number: int, hits: NDArray[np.int64]) -> None:
        self._done.add(number)
        self._hits[:, :, self._person(number)] += hits
        self._trials[self._person(number)] += 1

    def _resume(self, lines: list[str], head: dict[str, Any]) -> None:
        if json.loads(lines[0]) != head:
            raise SystemExit(f"{self.log}: is of another model or of other settings, takes {json.dumps(head)}")
        if not lines[-1].endswith("\n"):  # a killed run's last line
            self.log.write_text("".join(lines[:-1]))
            lines = lines[:-1]
        for line in lines[1:]:
            found = json.loads(line)
            self._count(found["trial"], np.array(found["hits"]))
