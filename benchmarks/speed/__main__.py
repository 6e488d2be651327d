"""python -m benchmarks.speed: kernels, network and the stages of a frame, all in one run.

    python -m benchmarks.speed --publish          some minutes on an idle machine
    python -m benchmarks.speed --rounds 1         whether it works

Contestants take turns; times are medians with quartiles. Writes benchmarks/results/speed.json, --publish also the table
in the README; with --model, which times another model than the shipped one, neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[2])
# With -m this folder comes first, and its sources would hide the installed package with its native extension.
sys.path[:] = [*(path for path in sys.path if path not in ("", ROOT)), ROOT]

from benchmarks.report import add_options, write  # noqa: E402
from benchmarks.speed.kernels import time_paste, time_pixels, time_repeat_add  # noqa: E402
from benchmarks.speed.network import count_flops, time_network  # noqa: E402
from benchmarks.speed.stages import time_stages  # noqa: E402
from benchmarks.speed.timing import Timing, machine, where  # noqa: E402
from mfm_edge.engine.folder import read_model  # noqa: E402

BATCHES, THREADS = (1, 4), (1, 2)
MOST_GFLOP, MOST_MS = 2.5, 12
"""Of one face, the time in ONNX Runtime f32 on two threads."""


def measure(rounds: int, folder: Path | None = None) -> dict[str, Any]:
    """Everything, ready for JSON; times in ms. folder: of the model, the shipped one's when None."""
    network, left_out = [], []
    for count in THREADS:
        for batch in BATCHES:
            found, left_out = time_network(batch, count, rounds, folder)
            network.append({"batch": batch, "threads": count, "ms": _plain(found)})
    return {
        **machine(),
        "model_id": read_model(folder).model_id,
        "rounds": rounds,
        "repeat_add": [{"batch": batch, "ms": _plain(time_repeat_add(batch, rounds))} for batch in BATCHES],
        "pixels": {name: _plain(found) for name, found in time_pixels(rounds).items()},
        "paste": _plain(time_paste(rounds)),
        "network": network,
        "left_out": left_out,
        "gflop_a_face": round(count_flops(folder) / 1e9, 3),
        "stages": _plain(time_stages(rounds)),
    }


def _plain(timings: dict[str, Timing]) -> dict[str, Any]:
    return {name: asdict(timing) for name, timing in timings.items()}


def table(result: Mapping[str, Any]) -> str:
    """The README's part: ratios of one run, since times are the machine's."""
    lines = ["| measured | value | goal |", "|---|---|---|"]
    paste, added = result["paste"], result["repeat_add"][0]["ms"]
    own = paste["mfm_edge"]["median"]
    for other, limit in (("OpenCV, region", 0.4), ("OpenCV, whole frame", 0.05)):
        lines.append(f"| paste-back / {other} | {own / paste[other]['median']:.2f} | <= {limit} |")
    kernels = {"repeat-and-add": (added, "<= 0.6")}
    kernels |= {name.replace("_", " "): (ms, "reported") for name, ms in result["pixels"].items()}
    for name, (ms, goal) in kernels.items():
        if "native" in ms:
            lines.append(f"| {name} / numpy | {ms['native']['median'] / ms['numpy']['median']:.2f} | {goal} |")
    most = max(result["network"], key=lambda row: (row["threads"], -row["batch"]))
    base = most["ms"]["ONNX Runtime f32"]["median"]
    lines.append(f"| GFLOP a face | {result['gflop_a_face']:.2f} | <= {MOST_GFLOP} |")
    lines.append(f"| ms a face, ONNX Runtime f32 | {base:.1f} | <= {MOST_MS} |")
    goals = {"ONNX Runtime int8": "<= 0.5", "OpenVINO int8": "<= 0.35"}
    for name, timing in most["ms"].items():
        if name != "ONNX Runtime f32":
            lines.append(
                f"| {name} / ONNX Runtime f32 | {timing['median'] / base:.2f} | {goals.get(name, 'reported')} |"
            )
    peak = result["peak_gflop_a_second"][str(most["threads"])]
    reached = result["gflop_a_face"] * most["batch"] / base * 1000
    lines.append(f"| share of the peak, ONNX Runtime f32 | {reached / peak:.2f} | reported |")
    total = sum(timing["median"] for timing in result["stages"].values())
    shares = ", ".join(f"{name} {timing['median']:.1f}" for name, timing in result["stages"].items())
    head = [
        f"On {where(result)}, one face, {most['threads']} threads: network",
        f"{result['model_id']} takes {base:.1f} ms and {result['gflop_a_face']:.2f} GFLOP a face in ONNX Runtime f32.",
        f"A 720p frame with one face, stage after stage: {total:.1f} ms ({shares}).",
    ]
    return "\n".join([*head, "", *lines, "", "Written by `python -m benchmarks.speed --publish`."])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, help="readings of each contestant (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="time the network of this folder instead, and print only")
    add_options(parser, "speed")
    options = parser.parse_args()
    if options.publish and options.model is not None:
        parser.error("--publish: takes the shipped model, not --model")
    result = measure(options.rounds, options.model)
    if options.model is None:
        write(options, "speed", result, table)
    else:
        print(table(result))
    for line in result["left_out"]:
        print(f"left out: {line}")


if __name__ == "__main__":
    main()
