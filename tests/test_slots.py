"""Every face has a key of its own, and restoring finds it again: by the records, or by trying all slots' keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime, runtime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.engine import Modified
from mfm_edge.factors import KeyDerivation
from mfm_edge.slots import ALL, from_left
from mfm_edge.style import StyleKey
from mfm_edge.types import SLOTS, Face, Treatment
from mfm_edge.video import open_source

RIGHT, WRONG = Factors("correct horse", smiling=True), Factors("correct hors3", smiling=True)
CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
TEMPLATE = np.array([(49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)], np.float32)


def face(left: float, top: float = 0.0) -> Face:
    points = TEMPLATE * 0.5 + np.array([left, top], np.float32)
    low, high = points.min(0), points.max(0)
    return Face(box=np.concatenate([low - 10, high + 10]), landmarks=points, score=0.9)


class FixedDetector:
    def __init__(self, *faces: Face) -> None:
        self.faces = faces

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        return self.faces


class MarkingEngine:
    """Stands in for the network: adds a number that the key's person decides, and knows the key that finds it again.
    counts: crops a call."""

    model_id = provider = "stand-in"
    on_cpu = False
    batch = 8

    def __init__(self) -> None:
        self.counts: list[int] = []

    def modify(self, crops: NDArray[np.uint8], keys: Any, landmarks: object = None) -> Modified:
        self.counts.append(len(crops))
        shifts = np.array([self.shift(key) for key in keys], np.uint8)[:, None, None, None]
        restoring = np.array([key.signature_to.max() <= 0 for key in keys])
        faces = np.where(restoring[:, None, None, None], crops - shifts, crops + shifts)
        faces[..., 0] = np.where(restoring[:, None, None], crops[..., 0], shifts[..., 0])  # the mark: one whole colour
        right = np.abs(crops[:, 60:68, 60:68, 0].astype(int).mean((1, 2)) - shifts[:, 0, 0, 0]) < 0.5
        return Modified(faces, 9 * (restoring & right)[:, None].astype(np.float32))

    @staticmethod
    def shift(key: StyleKey) -> int:
        return 40 + int.from_bytes(np.packbits(key.person > 0).tobytes(), "big") % 160


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, first_slot: None) -> MarkingEngine:
    engine = MarkingEngine()
    monkeypatch.setattr(runtime, "open_engine", lambda *_arguments, **_options: engine)
    return engine


def picture(height: int = 200, width: int = 1200) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).uniform(40, 80, (height // 8, width // 8, 3))
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def test_faces_of_a_picture_take_slots_from_the_left_whatever_order_they_come_in() -> None:
    faces = [face(500), face(0), face(100, 60), face(100, 20)]
    assert from_left(faces) == [3, 0, 2, 1]
    assert from_left(faces[::-1]) == [1, 2, 0, 3]
    assert from_left([face(10 * i) for i in range(SLOTS + 3)]) == [*range(SLOTS), 0, 1, 2]
    assert from_left([]) == []


def test_every_face_of_a_picture_has_a_key_of_its_own(engine: MarkingEngine) -> None:
    faces = [face(100 * place) for place in (4, 0, 2, 1, 3)]
    app, frame = MfmRuntime(detector=FixedDetector(*faces)), picture()
    protected = app.anonymize(frame, RIGHT)
    assert [record.slot for record in protected.faces] == [4, 0, 2, 1, 3]
    again = MfmRuntime(detector=FixedDetector(*faces[::-1])).anonymize(frame, RIGHT)
    np.testing.assert_array_equal(again.frame, protected.frame)
    # What the stand-in made of each face tells its key.
    shown = {int(protected.frame[int(f.box[1:4:2].mean()), int(f.box[::2].mean()), 0]) for f in faces}
    assert len(shown) == 5


def test_more_faces_than_slots_start_again_and_all_come_back(engine: MarkingEngine) -> None:
    faces = [face(70 * place) for place in range(SLOTS + 2)]
    app, frame = MfmRuntime(detector=FixedDetector(*faces)), picture(width=1304)
    with app.open_stream(RIGHT, key_derivation=CHEAP) as stream:
        protected = stream.anonymize(frame)
        restored = stream.restore(protected.frame, protected.faces).frame
        mixed = stream.restore(protected.frame, protected.faces[::-1])
    assert [record.track for record in protected.faces] == list(range(SLOTS + 2))
    assert [record.slot for record in protected.faces] == [*ALL, 0, 1]
    assert {record.treatment for record in protected.faces} == {Treatment.SURROGATE}
    changed, *left = (
        float(np.abs(image[..., 1:].astype(int) - frame[..., 1:]).mean())
        for image in (protected.frame, restored, mixed.frame)
    )
    assert max(left) < changed / 8, (left, changed)
    assert [record.slot for record in mixed.faces] == [record.slot for record in protected.faces][::-1]


def test_slots_that_no_record_names_are_found_by_evidence(engine: MarkingEngine) -> None:
    app, frame = MfmRuntime(detector=FixedDetector(*(face(100 * place) for place in range(5)))), picture()
    protected = app.anonymize(frame, RIGHT)
    lost = [replace(record, slot=None) for record in protected.faces]
    for factors in (RIGHT, WRONG):
        engine.counts.clear()
        restored = app.restore(protected.frame, factors, lost)
        assert sum(engine.counts) == 5 * SLOTS
        if factors is RIGHT:
            assert [record.slot for record in restored.faces] == [0, 1, 2, 3, 4]
            with_slots = app.restore(protected.frame, RIGHT, protected.faces)
            np.testing.assert_array_equal(restored.frame, with_slots.frame)


def test_two_real_faces_become_two_people_and_come_back_in_any_order() -> None:
    """The clip's first frame beside its mirror image."""
    with open_source(CLIP) as source:
        frame = next(iter(source)).image
    frame = np.ascontiguousarray(np.hstack([frame, frame[:, ::-1]]))
    app = MfmRuntime()
    protected = app.anonymize(frame, RIGHT)
    assert [record.treatment for record in protected.faces] == [Treatment.SURROGATE] * 2
    first, second = (record.slot for record in protected.faces)
    assert first != second
    alike = app.restore(protected.frame, RIGHT, [replace(record, slot=first) for record in protected.faces]).frame
    right = app.restore(protected.frame, RIGHT, protected.faces[::-1])
    blind = app.restore(protected.frame, RIGHT, [replace(record, slot=None) for record in protected.faces])
    for record, found in zip(protected.faces, blind.faces, strict=True):
        assert found.slot == record.slot  # known by its mark
        x0, y0, x1, y1 = record.box.astype(int)
        inside = (slice(y0, y1), slice(x0, x1))
        error, of_one_slot, unrestored = (
            float(np.abs(image[inside].astype(int) - frame[inside]).mean())
            for image in (right.frame, alike, protected.frame)
        )
        assert error < unrestored / 3
        assert (of_one_slot > unrestored / 2) == (record.slot == second)  # another slot's key does not restore it
    np.testing.assert_allclose(blind.frame.astype(int), right.frame, atol=1)


PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "photos"


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs ../shared/data/photos")
@pytest.mark.parametrize("name", ["face__two_people.jpg", "insightface__t1.jpg"])
def test_slots_of_real_people_are_found_by_their_marks(name: str) -> None:
    frame = cv2.imread(str(PHOTOS / name))
    app = MfmRuntime()
    protected = app.anonymize(frame, RIGHT)
    blind = app.restore(protected.frame, RIGHT, [replace(record, slot=None) for record in protected.faces])
    turned = [record.treatment is Treatment.SURROGATE for record in protected.faces]
    assert sum(turned) >= 2
    assert [record.slot for record in blind.faces] == [record.slot for record in protected.faces]
