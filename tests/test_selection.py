"""Whom a stream anonymises: decided on tracks, and doubt anonymises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime
from mfm_edge.align import TEMPLATE
from mfm_edge.errors import ArgumentError, ModelError
from mfm_edge.recognize import KnownPeople, OnnxRecognizer, embeddings_of_folder
from mfm_edge.selection import EverySelection, LargestFace, Region, Selection
from mfm_edge.track import TrackedFace
from mfm_edge.types import Face

FRAME = np.zeros((480, 640, 3), np.uint8)


def face(track: int, x: float = 0, *, scale: float = 1.0, missed: int = 0) -> TrackedFace:
    points = (TEMPLATE * scale + (x, 50)).astype(np.float32)
    low, high = points.min(0) - 20 * scale, points.max(0) + 20 * scale
    return TrackedFace(Face(np.concatenate([low, high]), points, 0.9), track, missed)


def chosen(selection: Selection, *faces: TrackedFace) -> list[int]:
    return [found.track for found in selection.choose(faces, FRAME)]


def test_largest_face_and_those_about_as_large() -> None:
    selection = LargestFace()
    assert chosen(selection, face(0, 0), face(1, 200, scale=0.5)) == [0]
    assert chosen(selection, face(0, 0), face(1, 200, scale=0.9)) == [0, 1]
    assert chosen(selection, face(0, 0), face(1, 200, scale=0.5)) == [0, 1]  # a track, not a frame, is decided on
    assert chosen(selection) == []
    assert chosen(selection, face(2, 0), face(1, 200, scale=0.5)) == [2]  # a track that ended counts no more


def test_region_takes_what_touches_it_and_keeps_it() -> None:
    selection = Region(300, 0, 100, 480)
    assert chosen(selection, face(0, 0), face(1, 270), face(2, 500)) == [1]
    assert chosen(selection, face(1, 0)) == [1]
    selection.forget()
    assert chosen(selection, face(1, 0)) == []
    with pytest.raises(ArgumentError, match="300x200 px"):
        selection.check((300, 200))
    with pytest.raises(ArgumentError, match="region: got width 0"):
        Region(0, 0, 0, 5)


def test_several_selections_must_agree() -> None:
    both = EverySelection([LargestFace(), Region(300, 0, 100, 480)])
    assert chosen(both, face(0, 0, scale=2), face(1, 300)) == []
    assert chosen(both, face(0, 300, scale=2), face(1, 0)) == [0]


class FakeRecognizer:
    """Says what the test put there."""

    def __init__(self) -> None:
        self.likeness = 1.0
        self.looks = 0

    def embed(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        self.looks += 1
        return np.array([self.likeness, np.sqrt(1 - self.likeness**2)], np.float32)


KNOWN = np.array([[1, 0]], np.float32)


def hidden(selection: Selection, frames: Sequence[Sequence[TrackedFace]]) -> list[bool]:
    return [0 in chosen(selection, *faces) for faces in frames]


def test_known_person_is_shown_only_once_confirmed_and_hidden_on_any_doubt() -> None:
    recognizer = FakeRecognizer()
    selection = KnownPeople(KNOWN, recognizer)
    alone = [face(0)]
    assert hidden(selection, [alone] * 4) == [True, True, False, False]
    assert hidden(selection, [[face(0, missed=1)], alone]) == [True, True]  # the detector missed it: anew
    assert hidden(selection, [alone] * 3) == [True, False, False]
    assert hidden(selection, [[face(0), face(1, 20)]]) == [True]  # another face overlaps: they may be mistaken
    assert hidden(selection, [alone] * 3) == [True, True, False]
    recognizer.likeness = 0.3  # the track went over to somebody else
    assert hidden(selection, [alone] * 6)[-1]
    recognizer.likeness = 1.0
    selection.forget()
    assert hidden(selection, [alone]) == [True]
    assert hidden(selection, [[face(0, scale=0.1)]]) == [True]  # too small to be judged


def test_strangers_are_looked_at_less_often_but_never_shown() -> None:
    recognizer = FakeRecognizer()
    recognizer.likeness = 0.49
    assert all(hidden(KnownPeople(KNOWN, recognizer), [[face(0)]] * 33))
    assert 5 < recognizer.looks < 12


class TwoFaces:
    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        return face(0, 20).face, face(1, 300, scale=0.7).face


class BrokenSelection:
    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        raise RuntimeError("no choice today")

    def forget(self) -> None:
        return


def test_stream_changes_the_chosen_face_alone_and_fails_closed() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.resize(rng.uniform(40, 220, (30, 40, 3)), (640, 480)).astype(np.uint8)
    runtime = MfmRuntime(detector=TwoFaces())
    with runtime.open_stream(Factors("p"), selection=LargestFace()) as stream:
        protected = stream.anonymize(frame)
        assert (len(protected.faces), protected.visible, protected.incidents) == (1, 1, 0)
        np.testing.assert_array_equal(protected.frame[:, 300:], frame[:, 300:])
        assert (protected.frame[:, :300] != frame[:, :300]).any()
        before = protected.frame
        stream.change_factors(Factors("another"))
        assert (stream.anonymize(frame).frame != before).any()
    with runtime.open_stream(Factors("p"), selection=BrokenSelection()) as stream:
        failed = stream.anonymize(frame)
    assert failed.incidents == 1 and len(np.unique(failed.frame.reshape(-1, 3), axis=0)) <= 36


def write_recognizer(path: Path, side: int = 112) -> Path:
    """Embeds a face by its pixels' means over blocks."""
    from onnx import TensorProto, helper, save

    node = helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16])
    flat = helper.make_node("Flatten", ["pooled"], ["y"])
    graph = helper.make_graph(
        [node, flat],
        "recognizer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_onnx_recognizer(tmp_path: Path) -> None:
    recognizer = OnnxRecognizer(write_recognizer(tmp_path / "r.onnx"))
    rng = np.random.default_rng(1)
    one, two = (cv2.resize(rng.uniform(0, 255, (24, 32, 3)), (640, 480)).astype(np.uint8) for _ in range(2))
    same = float(recognizer.embed(one, face(0).face) @ recognizer.embed(np.roll(one, 40, axis=1), face(0, 40).face))
    other = float(recognizer.embed(one, face(0).face) @ recognizer.embed(two, face(0).face))
    assert same > 0.99 > 0.8 > other
    with pytest.raises(ModelError, match="takes one of"):
        OnnxRecognizer(write_recognizer(tmp_path / "small.onnx", 96))
    with pytest.raises(ModelError, match="cannot be read"):
        OnnxRecognizer(tmp_path / "absent.onnx")


def test_folder_of_known_people_must_show_one_face_a_picture(tmp_path: Path) -> None:
    recognizer = FakeRecognizer()
    with pytest.raises(ArgumentError, match="holds no picture"):
        embeddings_of_folder(tmp_path, recognizer, TwoFaces())
    cv2.imwrite(str(tmp_path / "a.png"), FRAME)
    with pytest.raises(ArgumentError, match=r"a\.png shows 2 faces"):
        embeddings_of_folder(tmp_path, recognizer, TwoFaces())
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "a.png").unlink()
    with pytest.raises(ArgumentError, match=r"b\.jpg cannot be read"):
        embeddings_of_folder(tmp_path, recognizer, TwoFaces())
