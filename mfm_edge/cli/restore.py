"""mfm-edge restore: turn anonymised videos back; on demand also with a wrong password and side by side."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import FACTOR_NAMES, add_job

if TYPE_CHECKING:
    from mfm_edge.cli.job import Job
    from mfm_edge.cli.report import Report
    from mfm_edge.factors import Factors

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "restore",
        help="turn an anonymised video back",
        description="Turn anonymised videos back. Other factors than those used show yet other people.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="+", help="anonymised video, picture or folder of pictures")
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write, a folder for several inputs (default: input name + _restored)"
    )
    parser.add_argument(
        "--wrong-password",
        action="store_true",
        help="also write ..._wrong_password: what somebody sees who guesses a password",
    )
    parser.add_argument(
        "--side-by-side",
        action="store_true",
        help="also write ..._wrong_password and ..._side_by_side.mp4: all three in one picture",
    )
    add_job(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    from mfm_edge.cli.several import run_several

    return run_several(options, report, _one, restore=True)


def _one(job: Job, where: str, several: bool) -> int:
    from mfm_edge.cli.job import run_job
    from mfm_edge.cli.paths import check_paths, output_of, sidecar_for
    from mfm_edge.side_by_side import side_by_side

    options = job.options
    restored = output_of(where, "_restored", options.output, folder=several)
    base = restored.stem.removesuffix("_restored")
    wrong = restored.with_name(f"{base}_wrong_password{restored.suffix}")
    beside = restored.with_name(f"{base}_side_by_side.mp4")
    sidecar = sidecar_for(where, restored, options.sidecar, restore=True)
    want_wrong = options.wrong_password or options.side_by_side
    if want_wrong:
        check_paths(where, [("wrong password", wrong)], overwrite=options.overwrite)
    if options.side_by_side:
        check_paths(where, [("side by side", beside)], overwrite=options.overwrite)
    code = run_job(job, where, restored, sidecar)
    if code or not want_wrong or job.stop.signal is not None:
        return code
    code = run_job(job, where, wrong, sidecar, factors=_other(job.factors))
    if code or not options.side_by_side or job.stop.signal is not None:
        return code
    videos = {"anonymised": Path(where), "restored": restored, "wrong password": wrong}
    side_by_side(videos, beside, crf=options.crf, stop=lambda: job.stop.signal is not None)
    job.report.line(f"beside   {beside}")
    job.report.event("side_by_side", {"output": beside})
    return 0 if job.stop.signal is None else 128 + job.stop.signal


def _other(factors: Factors) -> Factors:
    """The same attributes under a password drawn at random."""
    from mfm_edge.factors import Factors

    named = {name: getattr(factors, name) for name in FACTOR_NAMES}
    return Factors.from_mapping({"password": secrets.token_hex(16), **named})
