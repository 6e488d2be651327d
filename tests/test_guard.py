"""mfm_edge.guard: what is covered stays covered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm_edge.align import TEMPLATE
from mfm_edge.errors import FrameError
from mfm_edge.guard import BLOCKS, SteadyTrust, cover_face, cover_frame, trusts
from mfm_edge.track import TrackedFace
from mfm_edge.types import Face


def face_at(x: float, y: float, scale: float = 1.0, score: float = 0.9) -> Face:
    box = np.array([30, 35, 98, 115]) * scale + [x, y, x, y]
    return Face(box=box, landmarks=TEMPLATE * scale + [x, y], score=score)


@settings(deadline=None, max_examples=40)
@given(x=st.floats(-300, 400), y=st.floats(-300, 400), scale=st.floats(0.05, 4))
def test_covers_box_and_landmarks_and_nothing_far(x: float, y: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (201, 307, 3), np.uint8)
    frame = before.copy()
    face = face_at(x, y, scale)
    cover_face(frame, face)
    x0, y0, x1, y1 = face.box
    ys, xs = np.mgrid[:201, :307]
    inside = (xs >= x0) & (xs <= x1) & (ys >= y0) & (ys <= y1)
    size = max(x1 - x0, y1 - y0)
    far = (xs < x0 - size) | (xs > x1 + size) | (ys < y0 - size) | (ys > y1 + size)
    np.testing.assert_array_equal(frame[far], before[far])
    covered = frame[inside]
    assert len(np.unique(covered.reshape(-1, 3), axis=0)) <= BLOCKS**2
    assert (covered % 16 % 15 == 0).all()  # multiples of 16, or 255


def test_what_is_covered_says_nothing_about_detail() -> None:
    rng = np.random.default_rng(0)
    base = np.full((300, 300, 3), 128, np.uint8)
    detailed = base.copy()
    detailed[90:210, 90:210] = np.clip(128 + rng.normal(0, 30, (120, 120, 3)), 0, 255).astype(np.uint8)
    face = Face(box=np.array([90, 90, 210, 210]), landmarks=TEMPLATE + 90, score=0.9)
    for frame in (base, detailed):
        cover_face(frame, face)
    assert (base != detailed)[90:210, 90:210].mean() < 0.1


@pytest.mark.parametrize("shape", [(64, 64), (1080, 1920), (65, 1001)])
def test_covered_frame_has_few_blocks_and_is_new(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    before = frame.copy()
    covered = cover_frame(frame)
    assert covered.shape == frame.shape
    assert covered is not frame
    np.testing.assert_array_equal(frame, before)
    assert (np.diff(covered.astype(int), axis=1) != 0).any((0, 2)).sum() < BLOCKS
    assert (np.diff(covered.astype(int), axis=0) != 0).any((1, 2)).sum() < BLOCKS


def test_trusts_only_what_the_network_can_work_on() -> None:
    assert trusts(face_at(10, 10))
    assert trusts(face_at(10, 10, scale=0.3))
    assert not trusts(face_at(10, 10, scale=0.1))
    assert not trusts(face_at(10, 10, score=0.1))
    assert not trusts(Face(box=np.zeros(4), landmarks=np.zeros((5, 2)), score=1.0))
    scrambled = TEMPLATE[[3, 2, 1, 0, 4]]
    assert not trusts(Face(box=np.array([0, 0, 128, 128]), landmarks=scrambled, score=1.0))
    # A face on its head is a face: the transform turns it.
    assert trusts(Face(box=np.array([0, 0, 128, 128]), landmarks=128 - TEMPLATE, score=1.0))


def turned(yaw: float) -> Face:
    """A head turned by so many degrees: eyes and mouth narrow, the nose stands out to one side. px"""
    angle = np.deg2rad(yaw)
    depth = np.array([0, 0, 22, 4, 4])  # px before the plane of the eyes
    x = (TEMPLATE[:, 0] - 64) * np.cos(angle) + depth * np.sin(angle)
    return Face(box=np.array([0, 0, 128, 128]), landmarks=np.stack([x + 64, TEMPLATE[:, 1]], axis=1), score=0.9)


def test_profiles_are_not_trusted() -> None:
    assert all(trusts(turned(yaw)) for yaw in (-40, -20, 0, 20, 40))
    assert not any(trusts(turned(yaw)) for yaw in (-85, -75, 75, 85))


def test_a_track_that_was_covered_stays_so_for_ten_frames() -> None:
    trust, good, bad = SteadyTrust(), face_at(10, 10), face_at(10, 10, score=0.1)
    assert trust([TrackedFace(good, 1), TrackedFace(bad, 2)]) == [True, False]
    shown = [trust([TrackedFace(good, 1), TrackedFace(good, 2)]) for _ in range(12)]
    assert shown == [[True, False]] * 9 + [[True, True]] * 3
    assert trust([TrackedFace(bad, 1), TrackedFace(good, 2)]) == [False, True]  # a cover comes at once
    assert [trust([TrackedFace(face, 1)])[0] for face in [good] * 9 + [bad] + [good] * 9] == [False] * 19
    trust([])
    assert trust([TrackedFace(good, 3)]) == [True]


def test_bad_frames_are_refused() -> None:
    locked = np.zeros((100, 100, 3), np.uint8)
    locked.setflags(write=False)
    with pytest.raises(FrameError, match="read-only"):
        cover_face(locked, face_at(0, 0))
    for bad in (np.zeros((100, 100), np.uint8), None):
        with pytest.raises(FrameError, match="frame: got"):
            cover_frame(bad)  # type: ignore[arg-type]
