"""What sealing costs a frame.

    python -m benchmarks.seal_rate --publish                                           half a minute, machine idle
    python -m benchmarks.seal_rate --frames 5 --rounds 1 --output /tmp/seal_rate.json  whether it works

Frames of the demo clip at 1280x720 with one face, protected once, then sealed and opened again and again: without loss
and as JPEG. Milliseconds are medians; the disk is this machine's folder for temporary files. Writes
benchmarks/results/seal_rate.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from benchmarks.report import ROOT, add_options, write
from benchmarks.speed.timing import machine
from mfm_edge import Factors, MfmRuntime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.factors import KeyDerivation
from mfm_edge.record import RecordHeader
from mfm_edge.seal import SealReader, SealWriter
from mfm_edge.video import open_source

NAME, DOCUMENT = "seal_rate", ROOT / "docs" / "security.md"
SIZE = (1280, 720)
KEY = bytes(32)
CODINGS = {"without loss": None, "JPEG 90": 90}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=25, help="different ones (default: %(default)s, a second)")
    parser.add_argument("--rounds", type=int, default=10, help="over all of them (default: %(default)s)")
    add_options(parser, NAME, DOCUMENT)
    options = parser.parse_args()
    with open_source(CLIP) as source:
        frames = [cv2.resize(frame.image, SIZE) for _, frame in zip(range(options.frames), source, strict=False)]
    runtime = MfmRuntime()
    with runtime.open_stream(Factors("benchmark")) as stream:
        protected = [stream.anonymize(frame) for frame in frames]
        header = RecordHeader(salt=stream.salt, key_derivation=KeyDerivation(), model_id=runtime.model_id,
                              width=SIZE[0], height=SIZE[1])  # fmt: skip
    rows = []
    for name, quality in CODINGS.items():
        sealing, opening = [], []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "originals.mfm.seal"
            with SealWriter(path, KEY, header, quality=quality) as writer:
                for original, done in [*zip(frames, protected, strict=True)] * options.rounds:
                    started = time.perf_counter()
                    writer.write(original, done)
                    sealing.append(time.perf_counter() - started)
            size = path.stat().st_size
            with SealReader(path, KEY) as reader:
                started = time.perf_counter()
                for sealed in reader:
                    sealed.restore(protected[sealed.index % len(protected)].frame)
                    opening.append(time.perf_counter() - started)
                    started = time.perf_counter()
        rows.append({
            "coding": name,
            "faces_a_frame": round(statistics.mean(len(done.faces) for done in protected), 2),
            "seal_ms": round(1000 * statistics.median(sealing), 2),
            "open_and_put_back_ms": round(1000 * statistics.median(opening), 2),
            "kilobytes_a_frame": round(size / len(sealing) / 1000, 1),
        })  # fmt: skip
    write(options, NAME, {**machine(), "size": SIZE, "frames": len(sealing), "rows": rows}, tell)


def tell(result: Mapping[str, Any]) -> str:
    width, height = result["size"]
    rows = "; ".join(
        f"{row['coding']}: {row['seal_ms']:.1f} ms and {row['kilobytes_a_frame']:.0f} kB, put back in "
        f"{row['open_and_put_back_ms']:.1f} ms" for row in result["rows"]
    )  # fmt: skip
    return (
        f"What sealing costs a {width}x{height} frame with one face ({result['cores']} cores, "
        f"{result['processor']}):\n{rows}. Written by `python -m benchmarks.seal_rate --publish`."
    )


if __name__ == "__main__":
    main()
