"""mfm-edge batch: folders and listings of videos as a job on Ray, which goes on where it was interrupted."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import (
    add_coding,
    add_common,
    add_detection,
    add_factors,
    add_keeping,
    add_register,
    add_seal,
)
from mfm_edge.errors import ArgumentError, RecordError

if TYPE_CHECKING:
    from mfm_edge.batch import Result
    from mfm_edge.cli.report import Report
    from mfm_edge.factors import Factors
    from mfm_edge.register import Register

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "batch",
        help="folders and listings of videos, on all cores or a cluster (extra ray)",
        description="Protect many videos as a Ray Data job. Finished ones are passed over, a failed one is reported "
        "and does not stop the rest. The factors travel to the workers: use a cluster that you trust.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="*", help="video, folder of videos, or URL of one")
    parser.add_argument("--listing", type=Path, metavar="FILE", help="a text file with one path or URL a line")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the protected videos")
    parser.add_argument("--workers", type=int, help="processes at most (default: as many as there is room for)")
    parser.add_argument("--address", help="of a running Ray cluster that sees the same files (default: start one here)")
    add_coding(parser)
    add_seal(parser)
    add_register(parser)
    add_keeping(parser)
    add_common(parser)
    add_detection(parser)
    add_factors(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    from mfm_edge.batch import Settings, plan, run_batch
    from mfm_edge.cli.job import Job, open_register
    from mfm_edge.cli.several import SOME_FAILED
    from mfm_edge.cli.stopping import Stop

    tasks = plan([*options.input, *_listed(options.listing)], options.output)
    waiting = [task for task in tasks if options.overwrite or not task.finished]
    for task in tasks:
        if task not in waiting:
            report.event("finished", {"input": task.source, "output": task.output})
    report.line(f"{len(tasks)} videos, {len(tasks) - len(waiting)} of them finished before")
    if not waiting:
        return 0
    job = Job(options, report, Stop())
    register = open_register(job)
    settings = Settings(
        crf=options.crf,
        audio=options.keep_audio,
        seal=options.seal,
        seal_quality=options.seal_quality,
        score=options.thresh,
        max_side=640 if options.scale is None else max(options.scale),
        providers=None if options.execution_provider is None else (options.execution_provider,),
        precision=options.precision,
        threads=Settings().threads if options.threads is None else options.threads,
    )
    failed = 0
    for result in run_batch(waiting, job.factors, settings, workers=options.workers, address=options.address):
        if result.error is not None:
            failed += 1
            report.error(result.error)
            continue
        for notice in result.notices:
            report.notice(f"{result.source}: {notice}")
        report.event("done", {name: value for name, value in asdict(result).items() if name != "error"})
        report.line(f"anonymised {result.frames} frames with {result.faces} faces: {result.output}")
        if register is not None:
            _remember(register, result, job.factors)
    if not failed:
        return 0
    return SOME_FAILED if failed < len(tasks) else 2


def _listed(listing: Path | None) -> list[str]:
    if listing is None:
        return []
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ArgumentError(f"listing {listing}: cannot be read ({reason}), takes one path or URL a line") from None
    return [line.strip() for line in lines if line.strip()]


def _remember(register: Register, result: Result, factors: Factors) -> None:
    from mfm_edge.record import RecordReader, sidecar_of

    try:
        with RecordReader(sidecar_of(Path(result.output))) as reader:
            register.add(reader.header, factors, source=result.source, output=Path(result.output))
    except RecordError:
        return  # a cluster with files of its own
