"""python -m mfm_edge.demo: anonymises the clip of the package, restores it, and restores it with a wrong password."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mfm_edge.demo.sheet import contact_sheet, face_psnr
from mfm_edge.errors import MfmError
from mfm_edge.factors import Factors
from mfm_edge.pipeline import anonymize_video, restore_video
from mfm_edge.record import sidecar_of
from mfm_edge.runtime import MfmRuntime
from mfm_edge.video import open_source

CLIP = Path(__file__).with_name("clip.mp4")
RIGHT = Factors("correct horse", smiling=True)
WRONG = Factors("battery staple", smiling=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo and gives its exit code."""
    parser = argparse.ArgumentParser(prog="mfm_edge.demo", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("demo-output"), help="folder (default: %(default)s)")
    parser.add_argument("--input", type=Path, default=CLIP, help="another clip (default: the one of the package)")
    options = parser.parse_args(arguments)
    try:
        _demo(options.input, options.output)
    except (MfmError, OSError) as error:
        print(f"mfm_edge.demo: error: {error}", file=sys.stderr)
        return 2
    return 0


def _demo(clip: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    anonymized, restored, wrong = (folder / f"{name}.mp4" for name in ("anonymized", "restored", "wrong_password"))
    sidecar, sheet = sidecar_of(anonymized), folder / "contact_sheet.png"
    runtime = MfmRuntime(workers=None)
    print(f"network {runtime.model_id} on {runtime.provider}")

    with open_source(clip) as source:
        summary = anonymize_video(runtime, source, RIGHT, output=anonymized, sidecar=sidecar)
        print(f"anonymised {summary.frames} frames, {summary.faces} faces: {summary.frames_per_second:.1f} frames/s")
    # From here on only what was saved is used: the H.264 file and its sidecar.
    for factors, output, what in ((RIGHT, restored, "the right factors"), (WRONG, wrong, "a wrong password")):
        with open_source(anonymized) as source:
            summary = restore_video(runtime, source, factors, output=output, sidecar=sidecar)
        print(
            f"restored with {what}: {summary.frames_per_second:.1f} frames/s, "
            f"faces {face_psnr(clip, output, sidecar):.1f} dB PSNR against the original"
        )
    rows = {"original": clip, "anonymised": anonymized, "restored": restored, "wrong password": wrong}
    contact_sheet(rows, sheet, sidecar=sidecar)
    for name, path in (*list(rows.items())[1:], ("sidecar", sidecar), ("contact sheet", sheet)):
        print(f"{name:15}{path}")


if __name__ == "__main__":
    sys.exit(main())
