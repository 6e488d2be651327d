"""mfm-edge: anonymise faces in video reversibly, restore them, and look at what there is.

Exit codes: 0 done; 1 something that is needed is missing (doctor); 2 bad input, or a source or a disk that failed (what
was written stays playable); 3 some of several inputs failed, the others are done; 130 or 143 when a recording was
interrupted by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from mfm_edge.cli import anonymize, batch, bench, doctor, info, register, restore, stream
from mfm_edge.cli.config import with_config
from mfm_edge.cli.options import Parser
from mfm_edge.cli.report import Report
from mfm_edge.errors import MfmError

__all__ = ["execute", "main"]

_COMMANDS = (anonymize, restore, stream, batch, register, info, doctor, bench)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command mfm-edge and gives its exit code."""
    parser = Parser(
        prog="mfm-edge",
        description="Replace faces in video by other people's, reversibly for who knows the factors.",
        epilog=(__doc__ or "").split("\n\n", 1)[1],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = dict(commands.choices)
    own = known.get(given[0]) if given else None
    return execute("mfm-edge", lambda: parser.parse_args(with_config(given, own, known)))


def execute(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parses, runs the command, and turns every expected failure into one line and an exit code."""
    report = Report(program)
    try:
        options = parse()
        report.json = options.json
        code: int = options.run(options, report)
        return code
    except MfmError as error:
        report.error(str(error))
        return 2
    except KeyboardInterrupt:  # before the first frame, for example at the password prompt
        report.say("interrupted")
        return 130
    finally:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
