"""Whole videos with a runtime that only inverts: order of writing, matching of records, endings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfm_edge.errors import ArgumentError, RecordError, SourceError
from mfm_edge.factors import Factors
from mfm_edge.pipeline import Monitor, anonymize_video, restore_video
from mfm_edge.record import RecordReader
from mfm_edge.video import FileSink, open_source

FACTORS = Factors("secret", smiling=True)


def images(path: Path) -> list[np.ndarray]:
    with open_source(path) as source:
        return [frame.image.astype(int) for frame in source]


@pytest.fixture
def protect(
    make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any
) -> Callable[..., tuple[Path, Path, Path]]:
    def run(**options: Any) -> tuple[Path, Path, Path]:
        original, output, sidecar = make_video(**options), tmp_path / "out.mp4", tmp_path / "out.jsonl"
        with open_source(original) as source:
            anonymize_video(fake_runtime, source, FACTORS, output=output, sidecar=sidecar)
        return original, output, sidecar

    return run


def restore(runtime: Any, video: Path, sidecar: Path | None, factors: Factors = FACTORS) -> Any:
    with open_source(video) as source:
        return restore_video(runtime, source, factors, output=video.with_name("back.mp4"), sidecar=sidecar)


def test_there_and_back(protect: Callable[..., Any], fake_runtime: Any, tmp_path: Path) -> None:
    original, output, sidecar = protect(count=20, audio=True)
    summary = restore(fake_runtime, output, sidecar)
    assert (summary.frames, summary.faces, summary.detected_again, summary.notices) == (20, 20, 0, ())
    assert summary.frames_per_second > 0
    assert fake_runtime.restored_from == list(range(1, 21))  # every frame met its own record
    for before, protected, after in zip(images(original), images(output), images(tmp_path / "back.mp4"), strict=True):
        assert np.abs(255 - before - protected).mean() < 3
        assert np.abs(before - after).mean() < 4
    with open_source(tmp_path / "back.mp4") as source:
        assert source.audio is not None


def test_sidecar_says_what_was_done(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=5, size=(98, 66))
    with RecordReader(sidecar, model_id="fake-model") as reader:
        frames = list(reader)
    assert (reader.header.width, reader.header.height, reader.header.frame_rate) == (98, 66, 25.0)
    assert [frame.time for frame in frames] == [index / 25 for index in range(5)]
    assert b"secret" not in sidecar.read_bytes() + output.read_bytes()
    other = protect(name="other.mp4", count=2)[2]
    with RecordReader(other) as reader_of_other:
        assert reader_of_other.header.salt != reader.header.salt


def test_lost_sidecar_leaves_the_salt_in_the_video(protect: Callable[..., Any], fake_runtime: Any) -> None:
    original, output, _ = protect(count=6)
    summary = restore(fake_runtime, output, None)
    assert summary.detected_again == 6
    assert np.abs(images(original)[0] - images(output.with_name("back.mp4"))[0]).mean() < 4


def test_wrong_factors_do_not_restore(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=3)
    restore(fake_runtime, output, sidecar, Factors("secret", smiling=False))
    assert np.abs(images(output)[0] - images(output.with_name("back.mp4"))[0]).mean() < 4


def test_video_that_lost_frames_still_meets_its_records(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=20)
    fewer = output.with_name("fewer.mp4")
    with open_source(output) as source, FileSink(fewer, size=source.size) as sink:
        for index, frame in enumerate(source):
            if index not in (5, 6, 12):
                sink.write(frame.image, frame.time)
    assert restore(fake_runtime, fewer, sidecar).detected_again == 0
    assert fake_runtime.restored_from == [n for n in range(1, 21) if n not in (6, 7, 13)]


def test_video_that_lost_its_first_frames_is_detected_again(protect: Callable[..., Any], fake_runtime: Any) -> None:
    """Its times start at 0 again, as editors do: its records are for other frames."""
    _, output, sidecar = protect(count=20)
    cut = output.with_name("cut.mp4")
    with open_source(output) as source, FileSink(cut, size=source.size) as sink:
        for index, frame in enumerate(source):
            if index >= 10:
                sink.write(frame.image, frame.time - 10 / 25)
    summary = restore(fake_runtime, cut, sidecar)
    assert summary.detected_again == 10 and fake_runtime.restored_from == [None] * 10
    assert "10 frames are not as the sidecar describes them" in summary.notices[0]


def test_sidecar_without_fingerprints_goes_by_times_alone(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=4)
    head, *lines = sidecar.read_text().splitlines()
    written = [head, *(json.dumps(json.loads(line) | {"fingerprint": None}) for line in lines)]
    sidecar.write_text("".join(line + "\n" for line in written))
    assert restore(fake_runtime, output, sidecar).notices == ()
    assert fake_runtime.restored_from == [1, 2, 3, 4]


def test_sidecar_that_lost_its_end(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=10)
    sidecar.write_bytes(sidecar.read_bytes()[:-40])
    summary = restore(fake_runtime, output, sidecar)
    assert sorted(fake_runtime.restored_from, key=str) == [*range(1, 10), None]  # the last may overtake those before it
    assert summary.detected_again == 1
    assert "last line was cut off" in summary.notices[0]


def test_scaled_video_is_detected_again(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=3, size=(128, 96))
    small = output.with_name("small.mp4")
    with open_source(output) as source, FileSink(small, size=(96, 72)) as sink:
        for frame in source:
            sink.write(np.ascontiguousarray(frame.image[:72, :96]), frame.time)
    summary = restore(fake_runtime, small, sidecar)
    assert summary.detected_again == 3 and "not as its sidecar describes it" in summary.notices[0]


def test_another_model_is_refused(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=2)
    fake_runtime.model_id = "newer"
    for place in (sidecar, None):
        with pytest.raises(RecordError, match="protected by model fake-model, takes model newer"):
            restore(fake_runtime, output, place)


def test_source_that_breaks_keeps_what_was_written(
    make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any
) -> None:
    original = make_video(count=60, movflags="faststart", audio=True)
    original.write_bytes(original.read_bytes()[: original.stat().st_size * 2 // 3])
    output, sidecar = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    with open_source(original) as source, pytest.raises(SourceError, match="truncated"):
        anonymize_video(fake_runtime, source, FACTORS, output=output, sidecar=sidecar)
    written = len(images(output))
    assert 10 < written < 60
    with RecordReader(sidecar) as reader:
        assert len(list(reader)) == written


def test_network_camera_is_recorded(mjpeg_server: Callable[..., str], tmp_path: Path, fake_runtime: Any) -> None:
    output, sidecar = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    with open_source(mjpeg_server(count=25)) as source, pytest.raises(SourceError, match="broke off"):
        anonymize_video(fake_runtime, source, FACTORS, output=output, sidecar=sidecar)
    assert len(images(output)) == 24 - source.dropped
    assert restore(fake_runtime, output, sidecar).detected_again == 0


def test_stopping_and_progress(make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any) -> None:
    calls: list[int] = []
    monitor = Monitor(progress=lambda summary: calls.append(1), stop=lambda: len(calls) == 7)
    with open_source(make_video(count=30)) as source:
        summary = anonymize_video(
            fake_runtime, source, FACTORS, output=tmp_path / "out.mp4", sidecar=None, monitor=monitor
        )
    assert summary.stopped and summary.frames == 7 == len(images(tmp_path / "out.mp4"))


def test_frames_too_small_are_refused_before_anything_is_written(
    make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any
) -> None:
    with open_source(make_video(size=(64, 48), count=2)) as source, pytest.raises(ArgumentError, match="64x48 px"):
        anonymize_video(fake_runtime, source, FACTORS, output=tmp_path / "o.mp4", sidecar=tmp_path / "o.jsonl")
    assert not (tmp_path / "o.mp4").exists() and not (tmp_path / "o.jsonl").exists()


def test_sidecars_without_times_go_by_count(protect: Callable[..., Any], fake_runtime: Any) -> None:
    _, output, sidecar = protect(count=4)
    from mfm_edge.record import RecordWriter

    with RecordReader(sidecar) as reader:
        header, frames = reader.header, list(reader)
    with RecordWriter(sidecar, header) as writer:
        for frame in frames:
            writer.write(dataclasses.replace(frame, time=None))
    assert restore(fake_runtime, output, sidecar).detected_again == 0
    assert fake_runtime.restored_from == [1, 2, 3, 4]
