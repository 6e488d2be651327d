"""mfm-edge register: what is remembered of protected streams; see mfm_edge/register/commands.py."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from mfm_edge.register.commands import add_commands

if TYPE_CHECKING:
    from mfm_edge.cli.report import Report

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser("register", help="what is remembered of protected streams", allow_abbrev=False)
    add_commands(parser)
    parser.set_defaults(run=run, json=False)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    options.task(options)
    return 0
