"""A new face gets a key whose surrogate looks natural and unlike the original and other keys', and keeps it."""

from __future__ import annotations

from threading import Barrier
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime, runtime
from mfm_edge.critic import Looks
from mfm_edge.engine import Modified
from mfm_edge.factors import ATTRIBUTES, KeyDerivation
from mfm_edge.slot_choice import ASKED, AT_A_TIME, FAR, MOST, NATURAL, UNLIKE, SlotChoice
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.types import SLOTS, AlignedFace, Face, Treatment

CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
TEMPLATE = np.array([(49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)], np.float32)
KEYS = FaceKeys(bytes(range(32)), Factors("p").attribute_vector())
CROP = AlignedFace(np.zeros((128, 128, 3), np.uint8), np.eye(3)[:2], TEMPLATE)


class Painter:
    """Stands in for the network: paints a slot's number all over the face. tried: the slots, in order."""

    model_id = provider = "stand-in"
    on_cpu = False
    batch = 8

    def __init__(self, keys: FaceKeys | None = None) -> None:
        self.keys, self.tried = keys, list[int]()

    def modify(self, crops: NDArray[np.uint8], keys: Any, landmarks: object = None) -> Modified:
        assert isinstance(landmarks, np.ndarray) and landmarks.shape == (len(crops), 5, 2)
        faces = np.empty((len(keys), *crops.shape[1:]), np.uint8)
        for painted, key in zip(faces, keys, strict=True):
            self.tried.append(self.number(key))
            painted[:] = 100 + self.tried[-1]
        return Modified(faces, np.zeros((len(faces), 1), np.float32))

    def number(self, key: StyleKey) -> int:
        """Of whose keys, is told by whoever made them; else 0."""
        return 0 if self.keys is None else next(slot for slot in range(SLOTS) if self.keys.of(slot) is key)


class Opinion:
    """Stands in for the critic: an original is at 0, and of each slot's surrogate it thinks what it is told, where it
    lies and how natural it is. has: what it sees of an attribute, by slot, -1 being the original; else nothing."""

    def __init__(
        self,
        told: dict[int, tuple[float, float, float]],
        otherwise: tuple[float, float, float],
        has: dict[int, tuple[str, float]],
    ) -> None:
        self.told, self.otherwise, self.has = told, otherwise, has

    def look(self, crops: NDArray[np.uint8]) -> Looks:
        slots = [int(crop[64, 64, 0]) - 100 for crop in crops]
        seen = np.array([(0, 0, 9) if s < 0 else self.told.get(s, self.otherwise) for s in slots], np.float32)
        attributes = np.zeros((len(crops), len(ATTRIBUTES)), np.float32)
        for row, slot in zip(attributes, slots, strict=True):
            if (seen_of := self.has.get(max(slot, -1))) is not None:
                row[ATTRIBUTES.index(seen_of[0])] = seen_of[1]
        return Looks(seen[:, :2], seen[:, 2], attributes)


def choice(
    told: dict[int, tuple[float, float, float]],
    otherwise: tuple[float, float, float],
    has: dict[int, tuple[str, float]] | None = None,
    keys: FaceKeys | None = None,
    workers: int = 1,
) -> tuple[SlotChoice, list[int]]:
    engine = Painter(keys or KEYS)
    critic: Any = Opinion(told, otherwise, has or {})
    return SlotChoice(engine, critic, workers=workers), engine.tried


NEAR, APART = 0.9 * FAR, 1.01 * FAR


def test_the_most_natural_of_those_that_hide_the_person_is_taken() -> None:
    told = {15: (APART, 0, 0.1), 0: (APART, 0, 0.4), 1: (NEAR, 0, 5), 2: (APART, 0, 9)}
    chooser, tried = choice(told, (APART, 0, 0))
    assert chooser.choose(CROP, KEYS, 14, ()) == 0
    assert tried == [14, 15, 0, 1]


def test_more_are_tried_until_one_is_natural() -> None:
    chooser, tried = choice({3: (NEAR, 0, 9), 9: (APART, 0, NATURAL + 0.5)}, (APART, 0, NATURAL - 0.1))
    assert chooser.choose(CROP, KEYS, 2, ()) == 9
    assert tried == [*range(2, 2 + 2 * AT_A_TIME)]
    chooser, tried = choice({3: (APART, 0, NATURAL - 0.05)}, (APART, 0, NATURAL - 0.1))
    assert chooser.choose(CROP, KEYS, 2, ()) == 3
    assert tried == [*range(2, 2 + MOST)]


def test_more_are_tried_until_one_has_what_was_asked_for() -> None:
    asking = FaceKeys(bytes(32), Factors("p", smiling=True).attribute_vector())
    has = dict.fromkeys(range(SLOTS), ("smiling", -1.0)) | {11: ("smiling", 0.5)}
    chooser, tried = choice({}, (APART, 0, NATURAL), has, asking)
    assert chooser.choose(CROP, asking, 2, ()) == 11
    assert tried == [*range(2, 2 + MOST)]
    chooser, tried = choice({}, (APART, 0, NATURAL), has, KEYS)  # nobody asked
    assert chooser.choose(CROP, KEYS, 2, ()) in tried == [*range(2, 2 + AT_A_TIME)]


def test_of_those_as_natural_it_is_the_one_that_is_least_like_the_others() -> None:
    chooser, _ = choice({7: (0, -APART, 9)}, (0, APART, 9))
    assert chooser.choose(CROP, KEYS, 5, ()) == 7
    # Where it lies outweighs how natural it is by so much a unit of distance from the others' mean, and no more.
    others = AT_A_TIME - 1
    gain = UNLIKE * (2 * APART - 2 * APART / others)
    for less, slot in ((gain - 0.1, 7), (gain + 0.1, 5)):
        chooser, _ = choice({7: (0, -APART, 9 - less)}, (0, APART, 9))
        assert chooser.choose(CROP, KEYS, 5, ()) == slot


def test_where_none_hides_the_person_it_is_the_one_that_comes_nearest_to_it() -> None:
    chooser, tried = choice({1: (0.7 * FAR, 0, 1), 2: (0, 0.8 * FAR, -1)}, (0.1 * FAR, 0, 1))
    assert chooser.choose(CROP, KEYS, 14, ()) == 2
    assert len(tried) == MOST


def test_what_was_asked_for_outweighs_a_little_naturalness() -> None:
    asking = FaceKeys(bytes(32), Factors("p", smiling=True).attribute_vector())
    gain = ASKED * (np.log(2) - np.log1p(np.exp(-3)))  # of being sure over not knowing
    for more_natural, slot in ((gain - 0.05, 6), (gain + 0.05, 4)):
        chooser, _ = choice({4: (APART, 0, more_natural)}, (APART, 0, 0), {6: ("smiling", 3)}, asking)
        assert chooser.choose(CROP, asking, 3, ()) == slot
    without = FaceKeys(bytes(32), Factors("p", smiling=False).attribute_vector())
    chooser, _ = choice({}, (APART, 0, 0), {6: ("smiling", 3), 7: ("smiling", -3)}, without)
    assert chooser.choose(CROP, without, 4, ()) == 7


@pytest.mark.parametrize(("name", "stays"), [("male", True), ("pale_skin", True), ("big_nose", False)])
def test_what_nobody_asked_for_stays_but_for_what_makes_up_a_person(name: str, stays: bool) -> None:
    for original in (3, -3):
        chooser, _ = choice({}, (APART, 0, 0), {-1: (name, original), 5: (name, 3), 6: (name, -3)})
        assert chooser.choose(CROP, KEYS, 4, ()) == ((5 if original > 0 else 6) if stays else 4)


def test_an_original_of_which_nobody_can_tell_keeps_what_is_unsure() -> None:
    chooser, _ = choice({}, (APART, 0, 0), {5: ("male", 3), 6: ("male", -3)})
    assert chooser.choose(CROP, KEYS, 4, ()) not in (5, 6)


def test_slots_of_others_are_left_to_them_while_there_are_more() -> None:
    chooser, tried = choice({4: (APART, 0, 1)}, (APART, 0, 0))
    assert chooser.choose(CROP, KEYS, 2, {2, 3, 5}) == 4
    assert tried == [4, 6, 7, 8]
    assert chooser.choose(CROP, KEYS, 4, set(range(SLOTS)) - {9}) == 9
    assert tried[AT_A_TIME:] == [9]
    assert chooser.choose(CROP, KEYS, 2, set(range(SLOTS))) == 4
    assert tried[AT_A_TIME + 1 :] == [2, 3, 4, 5]


def test_no_more_faces_go_through_the_engine_at_once_than_it_takes() -> None:
    chooser, tried = choice({4: (APART, 0, 1)}, (APART, 0, 0))
    engine: Any = chooser._engine
    engine.batch, calls, modify = 3, list[int](), engine.modify
    engine.modify = lambda crops, keys, places: calls.append(len(keys)) or modify(crops, keys, places)
    assert chooser.choose(CROP, KEYS, 1, ()) == 4
    assert calls == [3, AT_A_TIME - 3] and tried == [1, 2, 3, 4]


def test_several_workers_share_the_keys_and_take_the_same() -> None:
    told: dict[int, tuple[float, float, float]] = {3: (NEAR, 0, 9), 9: (APART, 0, 0.5)}
    one, in_turn = choice(told, (APART, 0, -0.1))
    chooser, tried = choice(told, (APART, 0, -0.1), workers=2)
    engine: Any = chooser._engine
    modify, together = engine.modify, Barrier(2, timeout=30)

    def both(crops: NDArray[np.uint8], keys: Any, places: object) -> Modified:
        together.wait()
        return modify(crops, keys, places)

    engine.modify = both
    assert chooser.choose(CROP, KEYS, 2, ()) == one.choose(CROP, KEYS, 2, ()) == 9
    assert sorted(tried) == sorted(in_turn)


def test_an_engine_that_fails_in_a_worker_fails_the_choice() -> None:
    chooser, _ = choice({}, (APART, 0, 0), workers=2)
    engine: Any = chooser._engine

    def fail(*_arguments: object) -> Modified:
        raise RuntimeError("no engine")

    engine.modify = fail
    with pytest.raises(RuntimeError, match="no engine"):
        chooser.choose(CROP, KEYS, 2, ())


class Faces:
    """A detector that sees what it is told to."""

    def __init__(self, *lefts: float) -> None:
        self.lefts = lefts

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        return tuple(self.face(left) for left in self.lefts)

    @staticmethod
    def face(left: float, score: float = 0.9) -> Face:
        points = TEMPLATE * 0.5 + np.array([left, 20], np.float32)
        low, high = points.min(0), points.max(0)
        return Face(box=np.concatenate([low - 10, high + 10]), landmarks=points, score=score)


class Taste(SlotChoice):
    """Stands in for the choice: one more than what was to be tried first. asked: (first, taken) of each call."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        self.asked: list[tuple[int, set[int]]] = []

    def choose(self, face: AlignedFace, keys: FaceKeys, first: int, taken: Any) -> int:
        self.asked.append((first, set(taken)))
        return (first + 1) % SLOTS


@pytest.fixture
def detector() -> Faces:
    return Faces(100, 300)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, detector: Faces) -> MfmRuntime:
    monkeypatch.setattr(runtime, "open_engine", lambda *_arguments, **_options: Painter())
    monkeypatch.setattr(runtime, "SlotChoice", Taste)
    return MfmRuntime(detector=detector)


def frame(number: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).uniform(40, 80, (20, 60, 3))
    image = cv2.resize(coarse, (480, 160), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return image + np.uint8(8 * (number % 2))  # a frame that does not change is not looked at again


def asked(app: MfmRuntime) -> list[tuple[int, set[int]]]:
    taste: Any = app._choice
    return list(taste.asked)


def test_a_track_keeps_what_was_chosen_in_its_first_frame(app: MfmRuntime, detector: Faces) -> None:
    with app.open_stream(Factors("p"), key_derivation=CHEAP) as stream:
        for number in range(3):
            assert [record.slot for record in stream.anonymize(frame(number)).faces] == [1, 2]
        assert asked(app) == [(0, set()), (1, {1})]
        detector.lefts = (100, 200, 300)
        assert {record.track: record.slot for record in stream.anonymize(frame(3)).faces} == {0: 1, 1: 2, 2: 3}
        assert asked(app)[2:] == [(2, {1, 2})]


def test_slots_of_tracks_that_ended_are_free_again(app: MfmRuntime, detector: Faces) -> None:
    with app.open_stream(Factors("p"), key_derivation=CHEAP) as stream:
        stream.anonymize(frame())
        detector.lefts = (300,)
        for number in range(1, 12):
            stream.anonymize(frame(number))
        detector.lefts = (100, 300)
        stream.anonymize(frame(12))
    assert asked(app)[2:] == [(2, {2})]


def test_other_factors_choose_anew(app: MfmRuntime) -> None:
    with app.open_stream(Factors("p"), key_derivation=CHEAP) as stream:
        stream.anonymize(frame())
        stream.change_factors(Factors("q"))
        stream.anonymize(frame(1))
    assert asked(app)[2:] == [(0, set()), (1, {1})]


def test_covered_faces_have_no_choice(app: MfmRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_detector", type("Unsure", (), {"detect": lambda _, frame: (Faces.face(100, 0.1),)})())
    with app.open_stream(Factors("p"), key_derivation=CHEAP) as stream:
        (record,) = stream.anonymize(frame()).faces
    (alone,) = app.anonymize(frame(), Factors("p")).faces
    assert record.treatment is alone.treatment is Treatment.COVERED and asked(app) == []


def test_faces_of_a_picture_choose_from_left_to_right(app: MfmRuntime, detector: Faces) -> None:
    detector.lefts = (300, 100)
    assert [record.slot for record in app.anonymize(frame(), Factors("p")).faces] == [2, 1]
    assert asked(app) == [(0, set()), (1, {1})]
