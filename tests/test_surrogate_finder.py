"""Whose mark is looked for when, and what is kept of it from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE, locate
from mfm_edge.factors import Factors
from mfm_edge.realign import Placement
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.surrogate_finder import TracksFoundAgain, found_again
from mfm_edge.track import TrackedFace
from mfm_edge.types import SLOTS, Face

KEYS = FaceKeys(bytes(32), Factors("p").attribute_vector())
FRAME = np.zeros((200, 400, 3), np.uint8)
ASIDE = np.array([[0, 0, 2.0], [0, 0, -1.0]])


class Pretended:
    """Stands in for Realigner: finds slot 5, two px to the right and one up, in what it is told to. asked: what it was
    asked, and from where."""

    def __init__(self, *, finds: bool) -> None:
        self.finds = finds
        self.asked: list[tuple[str, NDArray[np.float64]]] = []

    def search(self, frame: object, matrix: NDArray[np.float64], keys: Sequence[StyleKey]) -> Placement:
        assert [key.mark.tolist() for key in keys] == [KEYS.of(slot).mark.tolist() for slot in range(SLOTS)]
        self.asked.append(("search", matrix))
        return Placement(matrix + ASIDE, 5) if self.finds else Placement(matrix, None)

    def follow(self, frame: object, matrix: NDArray[np.float64], key: StyleKey) -> Placement:
        slot = 5 if any(way == "search" for way, _ in self.asked) and self.finds else 0
        np.testing.assert_array_equal(key.mark, KEYS.of(slot).mark)
        self.asked.append(("follow", matrix))
        return Placement(matrix, 0 if self.finds else None)


def face(left: float, score: float = 0.9) -> Face:
    points = (TEMPLATE * 0.9 + (left, 10)).astype(np.float32)
    return Face(box=np.concatenate([points.min(0) - 10, points.max(0) + 10]), landmarks=points, score=score)


def test_all_slots_are_looked_for_at_ages_that_depend_on_nothing_else() -> None:
    asked = {}
    for finds in (True, False):
        realigner, tracks = Pretended(finds=finds), TracksFoundAgain()
        for _ in range(130):
            tracks.records(realigner, FRAME, [TrackedFace(face(50), 7)], KEYS)  # type: ignore[arg-type]
        asked[finds] = [way for way, _ in realigner.asked]
    assert [age for age, way in enumerate(asked[True], start=1) if way == "search"] == [1, 4, 16, 64, 128]
    assert asked[True] == asked[False]


def test_what_was_found_moves_along_with_its_track() -> None:
    realigner, tracks = Pretended(finds=True), TracksFoundAgain()
    first = tracks.records(realigner, FRAME, [TrackedFace(face(50), 7)], KEYS)[0]  # type: ignore[arg-type]
    second = tracks.records(realigner, FRAME, [TrackedFace(face(90), 7)], KEYS)[0]  # type: ignore[arg-type]
    assert (first.slot, second.slot, second.track) == (5, 5, 7)
    np.testing.assert_allclose(first.matrix, locate(face(50))[0] + ASIDE)
    np.testing.assert_allclose(second.matrix, locate(face(90))[0] + ASIDE, atol=1e-9)
    np.testing.assert_allclose(realigner.asked[1][1], second.matrix)  # it started from there


def test_landmarks_are_where_the_surrogate_has_them_in_its_own_crop() -> None:
    points = face(50).landmarks + np.array([[3, 0], [-3, 0], [0, 4], [0, 0], [0, 0]], np.float32)
    one = Face(box=face(50).box, landmarks=points, score=0.9)
    places = locate(one)[1]
    assert np.abs(places - TEMPLATE).max() > 1.5
    tracks = TracksFoundAgain()
    for records in (
        found_again(Pretended(finds=True), FRAME, [one], KEYS),  # type: ignore[arg-type]
        tracks.records(Pretended(finds=True), FRAME, [TrackedFace(one, 7)], KEYS),  # type: ignore[arg-type]
    ):
        np.testing.assert_allclose(records[0].landmarks, places, atol=1e-4)


def test_a_track_that_was_lost_starts_anew() -> None:
    realigner, tracks = Pretended(finds=True), TracksFoundAgain()
    for track in (7, 8, 7):
        tracks.records(realigner, FRAME, [TrackedFace(face(50), track)], KEYS)  # type: ignore[arg-type]
    assert [way for way, _ in realigner.asked] == ["search"] * 3
    for _, matrix in realigner.asked:
        np.testing.assert_allclose(matrix, locate(face(50))[0])


@pytest.mark.parametrize("finds", [True, False])
def test_faces_of_a_picture_less_those_that_no_network_was_trusted_with(finds: bool) -> None:
    realigner = Pretended(finds=finds)
    faces = [face(20), face(200, score=0.2), face(250)]
    records = found_again(realigner, FRAME, faces, KEYS)  # type: ignore[arg-type]
    assert [record.slot for record in records] == [5 if finds else 0] * 2
    for record, one in zip(records, (faces[0], faces[2]), strict=True):
        np.testing.assert_allclose(record.matrix, locate(one)[0] + (ASIDE if finds else 0))
        np.testing.assert_array_equal(record.box, one.box)
