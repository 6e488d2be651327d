"""The command line with the shipped network on the real clips: the first frames of each, there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfm_edge import Factors, MfmRuntime
from mfm_edge.pipeline import Monitor, anonymize_video, restore_video
from mfm_edge.record import RecordReader
from mfm_edge.video import open_source

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
FRAMES = 10


@pytest.fixture(scope="module")
def runtime() -> MfmRuntime:
    return MfmRuntime()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in CLIPS.glob("*.mp4")) or ["none"])
def test_clip_there_and_back(name: str, runtime: MfmRuntime, tmp_path: Path) -> None:
    if not CLIPS.is_dir():
        pytest.skip("needs ../shared/data/videos")
    output, sidecar, restored = tmp_path / "out.mp4", tmp_path / "out.jsonl", tmp_path / "back.mp4"
    seen: list[int] = []
    monitor = Monitor(progress=lambda summary: seen.append(1), stop=lambda: len(seen) >= FRAMES)
    with open_source(CLIPS / name) as source:
        summary = anonymize_video(runtime, source, Factors("p"), output=output, sidecar=sidecar, monitor=monitor)
    assert (summary.frames, summary.incidents, summary.notices) == (FRAMES, 0, ())
    assert summary.faces >= FRAMES - 1  # one person talks in each clip
    with open_source(output) as source:
        assert source.audio is not None
        back = restore_video(runtime, source, Factors("p"), output=restored, sidecar=sidecar)
    assert (back.frames, back.faces, back.detected_again) == (FRAMES, summary.faces, 0)

    with open_source(CLIPS / name) as one, open_source(output) as two, RecordReader(sidecar) as records:
        for before, after, record in zip(one, two, records, strict=False):
            assert after.time == pytest.approx(before.time, abs=0.001)
            height, width = before.image.shape[:2]
            changed = np.abs(before.image.astype(int) - after.image[:height, :width]).mean(axis=2)
            outside = np.ones((height, width), bool)
            for face in record.faces:
                x0, y0, x1, y1 = face.box
                grow = (x1 - x0 + y1 - y0) / 2
                left, top = max(0, int(x0 - grow)), max(0, int(y0 - grow))
                outside[top : int(y1 + grow), left : int(x1 + grow)] = False
                inside = changed[max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)]
                assert inside.mean() > 4  # the face is another one
            if outside.any():
                assert changed[outside].mean() < 4  # the codec alone
