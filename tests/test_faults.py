"""Each stage fails once, in turn: what leaves is covered, and counted, and the next frame is protected as if nothing
had been. Files hold no raw frame either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime, Treatment, frame_modifier, runtime
from mfm_edge.engine import Modified
from mfm_edge.errors import MfmError
from mfm_edge.factors import KeyDerivation
from mfm_edge.pipeline import Monitor, anonymize_video
from mfm_edge.pipeline import anonymize as pipeline
from mfm_edge.runtime import MfmStream
from mfm_edge.types import Face
from mfm_edge.video import FileSink, VideoFrame, open_source

TEMPLATE = np.array([(49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)], np.float32)
FACE = Face(box=np.array([60, 65, 240, 230]), landmarks=TEMPLATE * 1.5 + [40, 10], score=0.9)
BAD_FRAME = 3


class Detector:
    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        return (FACE,)


def modified(faces: NDArray[np.uint8]) -> Modified:
    return Modified(faces, np.zeros((len(faces), 1), np.float32))


class Engine:
    """Stands in for the network: an inverted crop is another picture."""

    model_id = provider = "stand-in"
    on_cpu = False
    batch = 8

    def modify(self, crops: NDArray[np.uint8], keys: object, landmarks: object) -> Modified:
        return modified(255 - crops)


class Everybody:
    def __init__(self) -> None:
        self.forgotten = 0

    def choose(self, faces: Any, frame: Any) -> Any:
        return tuple(faces)

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).uniform(40, 110, (18, 24, 3))
    return cv2.resize(coarse, (384, 288), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch, first_slot: None) -> MfmStream:
    monkeypatch.setattr(runtime, "open_engine", lambda *_arguments, **_options: Engine())
    return MfmRuntime(detector=Detector()).open_stream(
        Factors("p"), selection=Everybody(), key_derivation=KeyDerivation(iterations=1, lanes=1, memory_kib=64)
    )


def failing(real: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """The same, but its third call raises."""
    calls = []

    def instead(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == BAD_FRAME:
            raise error
        return real(*arguments, **options)

    return instead


STAGES = ("detect", "track", "select", "trust", "align", "network", "paste", "record")


@pytest.mark.parametrize("error", [MemoryError(), MfmError("broken")])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_fails_gives_a_covered_frame(
    stage: str, error: Exception, stream: MfmStream, frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = {
        "detect": (stream._runtime._detector, "detect"),
        "track": (stream._tracker, "update"),
        "select": (stream._selection, "choose"),
        "trust": (stream, "_trust"),
        "align": (frame_modifier, "align"),
        "network": (stream._runtime._frames.engine, "modify"),
        "paste": (frame_modifier, "paste"),
        "record": (frame_modifier, "FaceRecord"),
    }[stage]
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), error))
    still = frame
    for number in range(1, 6):
        frame = still + np.uint8(8 * (number % 2))  # a frame that does not change is not looked at again
        protected = stream.anonymize(frame)
        assert protected.incidents == (number == BAD_FRAME)
        raw = (protected.frame == frame).all(axis=2)
        assert raw[80:190, 80:200].mean() < 0.02  # the face
        if number == BAD_FRAME:
            assert raw.mean() < 0.05 and protected.faces == ()
            assert len(np.unique(protected.frame.reshape(-1, 3), axis=0)) <= 36
        else:
            assert [face.treatment for face in protected.faces] == [Treatment.SURROGATE]
    assert stream._selection.forgotten == 1


@pytest.mark.parametrize("error", [MemoryError(), MfmError("broken")])
def test_a_choice_of_slots_that_fails_gives_a_covered_frame(
    error: Exception, stream: MfmStream, frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots are chosen in a track's first frame."""

    def fail(*_arguments: object) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(stream._runtime._choice, "choose", fail)
        protected = stream.anonymize(frame)
    assert protected.incidents == 1 and protected.faces == ()
    assert (protected.frame == frame).all(axis=2).mean() < 0.05
    after = stream.anonymize(frame + np.uint8(8))
    assert after.incidents == 0 and [face.treatment for face in after.faces] == [Treatment.SURROGATE]


def test_a_network_that_changes_nothing_is_not_believed(
    stream: MfmStream, frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "modify", lambda self, crops, keys, landmarks: modified(crops))
    protected = stream.anonymize(frame)
    assert [face.treatment for face in protected.faces] == [Treatment.COVERED]
    assert (protected.frame == frame).all(axis=2)[80:190, 80:200].mean() < 0.02


@pytest.mark.parametrize("shape", [(0, 128, 128, 3), (1, 64, 64, 3), (1, 128, 128)])
def test_a_network_that_gives_something_else_covers_the_frame(
    shape: tuple[int, ...], stream: MfmStream, frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "modify", lambda self, crops, keys, landmarks: modified(np.zeros(shape, np.uint8)))
    protected = stream.anonymize(frame)
    assert protected.incidents == 1 and (protected.frame == frame).all(axis=2).mean() < 0.05


class Broken(Exception):
    """No error that anything knows."""


@pytest.mark.parametrize("stage", ["source", "fingerprint", "sidecar", "seal", "encoder", "viewer", "progress"])
def test_a_job_that_fails_leaves_no_raw_frame(
    stage: str,
    make_video: Callable[..., Path],
    tmp_path: Path,
    fake_runtime: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And says so: whatever was raised reaches the caller. Frames before it are complete and playable."""
    output = tmp_path / "out.mp4"

    class Viewer:
        def __init__(self) -> None:
            self.shown: list[NDArray[np.uint8]] = []
            self.show = failing(self._show, Broken()) if stage == "viewer" else self._show

        def _show(self, image: NDArray[np.uint8]) -> bool:
            self.shown.append(image)
            return True

    viewer = Viewer()
    progress = failing(lambda summary: None, Broken()) if stage == "progress" else lambda summary: None
    for name, owner, attribute in (
        ("fingerprint", pipeline, "fingerprint"),
        ("sidecar", pipeline.RecordWriter, "write"),
        ("seal", pipeline.SealWriter, "write"),
        ("encoder", FileSink, "write"),
    ):
        if name == stage:
            monkeypatch.setattr(owner, attribute, failing(getattr(owner, attribute), Broken()))
    path = make_video(count=12)
    with open_source(path) as source:
        originals = [frame.image for frame in source]
    with open_source(path) as source, pytest.raises(Broken):
        if stage == "source":
            monkeypatch.setattr(source, "_frames", map(failing(same, Broken()), source._frames))
        anonymize_video(
            fake_runtime,
            source,
            Factors("p"),
            output=output,
            sidecar=tmp_path / "out.jsonl",
            seal=tmp_path / "out.seal",
            monitor=Monitor(viewers=(viewer,), progress=progress),
        )
    with open_source(output) as source:
        written = [frame.image for frame in source]
    assert 1 <= len(written) <= 12
    for image in (*written, *viewer.shown):
        assert min(np.abs(image.astype(int) - original).mean() for original in originals) > 10


def same(frame: VideoFrame) -> VideoFrame:
    return frame
