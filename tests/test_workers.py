"""Frames that are worked on at the same time: the same as one after another, each with its own faces."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfm_edge import ArgumentError, Factors, MfmRuntime, runtime
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import derive_secret
from mfm_edge.pipeline import Monitor, anonymize_video, restore_video
from mfm_edge.style import StyleKey, expand
from mfm_edge.video import open_source

FACTORS = Factors("edge")
SALT = bytes(16)


@pytest.fixture(scope="module")
def in_turn() -> MfmRuntime:
    return MfmRuntime(providers=["CPU"])


@pytest.fixture(scope="module")
def app() -> MfmRuntime:
    return MfmRuntime(providers=["CPU"], workers=3)


def protect(app: MfmRuntime, clip: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """A clip under SALT into a folder of pictures: the summary and the pictures."""
    monkeypatch.setattr(runtime.os, "urandom", lambda count: SALT[:count])
    output.mkdir()
    with open_source(clip) as source:
        summary = anonymize_video(app, source, FACTORS, output=output, sidecar=None)
    with open_source(output) as source:
        return summary, [frame.image for frame in source]


def test_they_are_those_of_one_after_another(
    app: MfmRuntime, in_turn: MfmRuntime, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, found = protect(app, short_clip, tmp_path / "pictures", monkeypatch)
    with open_source(short_clip) as source, in_turn.open_stream(FACTORS, salt=SALT) as stream:
        expected = [stream.anonymize(frame.image).frame for frame in source]
    assert summary.frames == len(found) == len(expected) and summary.faces > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.astype(int), other, atol=2)  # a network on one thread rounds otherwise


def test_one_that_fails_is_covered_and_no_other(
    app: MfmRuntime, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modify, calls = OnnxEngine.modify, []

    def third_fails(self: OnnxEngine, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError
        return modify(self, *arguments)

    monkeypatch.setattr(OnnxEngine, "modify", third_fails)
    summary, found = protect(app, short_clip, tmp_path / "pictures", monkeypatch)
    assert summary.incidents == 1
    colours = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in found]
    assert sum(count <= 36 for count in colours) == 1


@pytest.mark.parametrize("lost", [(), (2,), (1, 2, 3, 4, 5)])
def test_restored_they_are_those_of_one_after_another(
    app: MfmRuntime, in_turn: MfmRuntime, short_clip: Path, tmp_path: Path, lost: tuple[int, ...]
) -> None:
    """Also where records are lost, so that faces are tracked again."""
    video, sidecar = tmp_path / "video.mp4", tmp_path / "video.jsonl"
    with open_source(short_clip) as source:
        anonymize_video(in_turn, source, FACTORS, output=video, sidecar=sidecar)
    header, *records = sidecar.read_text().splitlines()
    frames = [json.loads(line) for line in records]
    for index in lost:
        frames[index]["time"] += 0.01  # no frame is shown then
    sidecar.write_text("\n".join([header, *map(json.dumps, frames)]) + "\n")
    found = []
    for index, one in enumerate((app, in_turn)):
        output = tmp_path / f"pictures{index}"
        output.mkdir()
        with open_source(video) as source:
            summary = restore_video(one, source, FACTORS, output=output, sidecar=sidecar)
        assert summary.frames == 6 and summary.faces >= 6 and summary.detected_again == len(lost)
        with open_source(output) as source:
            found.append([frame.image.astype(int) for frame in source])
    for index, (image, expected) in enumerate(zip(*found, strict=True)):
        np.testing.assert_allclose(image, expected, atol=2, err_msg=f"frame {index}")


def test_restoring_ends_with_the_error_of_the_frame_that_failed(
    app: MfmRuntime, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, sidecar = tmp_path / "video.mp4", tmp_path / "video.jsonl"
    with open_source(short_clip) as source:
        anonymize_video(app, source, FACTORS, output=video, sidecar=sidecar)
    modify, calls = OnnxEngine.modify, []

    def third_fails(self: OnnxEngine, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("third")
        return modify(self, *arguments)

    monkeypatch.setattr(OnnxEngine, "modify", third_fails)
    written: list[int] = []
    monitor = Monitor(progress=lambda summary: written.append(summary.frames))
    with open_source(video) as source, pytest.raises(MemoryError, match="third"):
        restore_video(app, source, FACTORS, output=tmp_path / "back.mp4", sidecar=sidecar, monitor=monitor)
    assert len(written) < 6 and written == list(range(1, len(written) + 1))


def test_an_engine_keeps_callers_apart() -> None:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (8, 128, 128, 3), np.uint8)
    keys = [key(index) for index in range(8)]
    engine = OnnxEngine(threads=1)
    expected = [engine.modify(crops[i : i + 1], keys[i : i + 1]).faces for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: engine.modify(crops[i : i + 1], keys[i : i + 1]).faces, list(range(8)) * 3))
    for index, faces in enumerate(found):
        np.testing.assert_array_equal(faces, expected[index % 8])


def key(index: int) -> StyleKey:
    factors = Factors(f"password {index}")
    return expand(derive_secret(factors), factors.attribute_vector())


def test_workers_share_the_threads_that_are_given() -> None:
    assert MfmRuntime(providers=["CPU"], threads=3).workers == 1
    for threads, expected in ((1, 1), (3, 3), (64, runtime.MOST_WORKERS)):
        assert MfmRuntime(providers=["CPU"], threads=threads, workers=None).workers == expected
    assert MfmRuntime(providers=["CPU"], threads=3, workers=2).workers == 2


def test_a_number_of_workers_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ArgumentError, match="workers: got 0"):
        MfmRuntime(workers=0)
