"""mfm-edge anonymize: files, folders of pictures, URLs or a camera, one after the other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import add_job, add_keeping, add_selection

if TYPE_CHECKING:
    from mfm_edge.cli.job import Job
    from mfm_edge.cli.report import Report

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "anonymize",
        help="replace every face, and write what restoring needs",
        description="Replace every face by another person's, reversibly for who knows the factors.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="+", help="video, picture, folder of pictures, URL, camera index or cam, or -")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="file to write, a folder for several inputs (default: input name + _anonymized)",
    )
    add_job(parser)
    add_keeping(parser)
    add_selection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    from mfm_edge.cli.several import run_several

    return run_several(options, report, _one, restore=False)


def _one(job: Job, where: str, several: bool) -> int:
    from mfm_edge.cli.job import run_job
    from mfm_edge.cli.paths import output_of, sidecar_for

    options = job.options
    output = output_of(where, "_anonymized", options.output, folder=several)
    return run_job(job, where, output, sidecar_for(where, output, options.sidecar, restore=False))
