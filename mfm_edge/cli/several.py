"""Several inputs one after the other: a failed one is reported and does not stop the rest."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from mfm_edge.cli.job import Job
from mfm_edge.cli.paths import input_of
from mfm_edge.cli.report import Report
from mfm_edge.cli.stopping import stopping
from mfm_edge.errors import ArgumentError, MfmError, SourceError

__all__ = ["SOME_FAILED", "run_several"]

SOME_FAILED = 3


def run_several(
    options: argparse.Namespace, report: Report, one: Callable[[Job, str, bool], int], *, restore: bool
) -> int:
    """Runs one(job, input, several) for each of options.input and gives the exit code of all."""
    inputs = [input_of(text) for text in options.input]
    several = len(inputs) > 1
    if several and options.sidecar is not None:
        raise ArgumentError(f"sidecar: got one for {len(inputs)} inputs, takes one input")
    if several and options.output is not None:
        _make_folder(options.output)
    failed = done = 0
    with stopping() as stop:
        job = Job(options, report, stop, restore)
        for where in inputs:
            try:
                code = one(job, where, several)
            except MfmError as error:
                report.error(str(error))
                failed += 1
            else:
                done += 1
                if code:
                    return code
            if stop.signal is not None:
                return 128 + stop.signal if several else 0
    if failed:
        return SOME_FAILED if done else 2
    return 0


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(
            f"output {path}: cannot be made ({error.strerror}), takes a folder for several inputs"
        ) from None
