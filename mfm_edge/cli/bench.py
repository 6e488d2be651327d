"""mfm-edge bench: frames a second on this machine, from file to file, on the clip of the package."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import add_common, add_detection
from mfm_edge.errors import ArgumentError

if TYPE_CHECKING:
    from mfm_edge.cli.report import Report
    from mfm_edge.pipeline import Summary

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "bench",
        help="frames a second on this machine",
        description="Anonymise a clip from file to file, again and again, and say how many frames a second that was.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="?", type=Path, help="another clip than the package's own")
    parser.add_argument(
        "--rounds", type=int, default=3, help="counted runs after one to warm up (default: %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=50, help="frames of the clip at most (default: %(default)s)")
    add_common(parser)
    add_detection(parser)
    parser.set_defaults(run=run)


class _Counter:
    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, _summary: Summary) -> None:
        self._left -= 1

    def reached(self) -> bool:
        return self._left <= 0


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    for name in ("rounds", "frames"):
        if getattr(options, name) < 1:
            raise ArgumentError(f"{name}: got {getattr(options, name)}, takes a whole number from 1")
    from mfm_edge.cli.job import Job
    from mfm_edge.cli.stopping import Stop
    from mfm_edge.demo.__main__ import CLIP
    from mfm_edge.factors import Factors
    from mfm_edge.pipeline import Monitor, anonymize_video
    from mfm_edge.video import open_source

    clip = CLIP if options.input is None else options.input
    runtime = Job(options, report, Stop()).runtime(in_order=False)
    rates = []
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "out.mp4"
        for turn in range(options.rounds + 1):
            counter = _Counter(options.frames)
            monitor = Monitor(progress=counter.count, stop=counter.reached)
            with open_source(clip) as source:
                size = source.size
                done = anonymize_video(
                    runtime,
                    source,
                    Factors("bench"),
                    output=output,
                    sidecar=output.with_suffix(".jsonl"),
                    monitor=monitor,
                )
            rates += [done.frames_per_second] * (turn > 0)
            report.event("round", {"round": turn, "warm_up": turn == 0, "frames_per_second": done.frames_per_second})
    found = {
        "clip": clip.name,
        "size": f"{size[0]}x{size[1]}",
        "frames": done.frames,
        "faces_per_frame": round(done.faces / max(done.frames, 1), 2),
        "provider": runtime.provider,
        "frames_per_second": round(statistics.median(rates), 2),
        "least": round(min(rates), 2),
        "most": round(max(rates), 2),
    }
    report.event("bench", found)
    for key, value in found.items():
        report.line(f"{key.replace('_', ' '):20}{value}")
    return 0
