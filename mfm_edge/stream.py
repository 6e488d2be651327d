"""python -m mfm_edge.stream: anonymise or restore a camera, a file or a network stream.

    python -m mfm_edge.stream talk.mp4             writes talk_anonymized.mp4 and, beside it, its sidecar
    python -m mfm_edge.stream --camera 0 --preview -o out.mp4 --hair blond --smiling
    python -m mfm_edge.stream out.mp4 --restore --hair blond --smiling

The same as the command `mfm-edge stream`; see mfm_edge/cli for the exit codes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mfm_edge.cli.config import with_config
from mfm_edge.cli.main import execute
from mfm_edge.cli.options import Parser
from mfm_edge.cli.stream import add_options

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code."""
    parser = Parser(
        prog="mfm_edge.stream",
        description="Replace every face in a video by another person's, reversibly for who knows the factors.",
        allow_abbrev=False,
    )
    add_options(parser)
    given = list(sys.argv[1:] if arguments is None else arguments)
    return execute("mfm_edge.stream", lambda: parser.parse_args(with_config(given, parser, {})))


if __name__ == "__main__":
    sys.exit(main())
