"""mfm-edge stream, and python -m mfm_edge.stream: one camera, network stream or file, as it comes.

mfm-edge stream --camera 0 --preview -o out.mp4 --hair blond --smiling
mfm-edge stream rtsp://camera.local/live --serve 8080 --reconnect 60
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import add_job, add_keeping, add_live, add_selection
from mfm_edge.errors import ArgumentError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from mfm_edge.cli.report import Report
    from mfm_edge.pipeline import Viewer
    from mfm_edge.video import Source

__all__ = ["add_options", "add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    add_options(
        commands.add_parser(
            "stream",
            help="a camera or network stream: to a file, a window, the browser, a virtual camera",
            description="Replace every face in one stream, reversibly for who knows the factors.",
            allow_abbrev=False,
        )
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options to its parser."""
    parser.add_argument(
        "input",
        nargs="?",
        help="camera index or cam, video file, folder of pictures, URL, or - for raw "
        "frames (bgr24) from standard input",
    )
    parser.add_argument("--camera", metavar="INPUT", help="the same as a flag: 0, a file or a URL")
    parser.add_argument(
        "-o", "--output", type=Path, help="video to write (default: input name + _anonymized/_restored)"
    )
    parser.add_argument("--restore", action="store_true", help="turn an anonymised video back")
    add_job(parser)
    add_keeping(parser)
    add_live(parser)
    add_selection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    from mfm_edge.cli.job import Job, run_job
    from mfm_edge.cli.live import LiveSinks
    from mfm_edge.cli.paths import input_of, output_of, sidecar_for
    from mfm_edge.cli.stopping import stopping

    if (options.input is None) == (options.camera is None):
        raise ArgumentError("input: takes one input: a camera index, a video file or a URL, for example --camera 0")
    where = input_of(options.camera if options.input is None else options.input)
    only_seen = not Path(where).exists() and (options.preview or options.serve or options.virtual_camera is not None)
    output = options.output
    if output is None and not only_seen:
        output = output_of(where, "_restored" if options.restore else "_anonymized", None, folder=False)
    sidecar = sidecar_for(where, output, options.sidecar, restore=options.restore)
    live = LiveSinks(options, report, recorded=output is not None)

    def open_viewers(opened: ExitStack, source: Source) -> tuple[Viewer, ...]:
        return live.open(opened, source, job)

    with stopping() as stop:
        job = Job(options, report, stop, options.restore)
        return run_job(
            job,
            where,
            output,
            sidecar,
            open_viewers=open_viewers,
            opened_stream=live.stream_opened,
            tell=live.tell,
        )
