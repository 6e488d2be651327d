"""mfm_edge.track: identities, smoothing, prediction and cuts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge.align import TEMPLATE
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.errors import ArgumentError, FrameError
from mfm_edge.track import Tracker
from mfm_edge.types import Face
from mfm_edge.video import open_source

FRAME = np.full((480, 640, 3), 90, np.uint8)
FRAME[:, 320:] = 160
VIDEO = Path(__file__).parents[2] / "shared" / "data" / "videos" / "LivePortrait__d18.mp4"


def face_at(x: float, y: float, scale: float = 1.0, noise: Sequence[Sequence[float]] | None = None) -> Face:
    landmarks = TEMPLATE * scale + [x, y] + (0 if noise is None else np.asarray(noise))
    return Face(box=np.array([30, 35, 98, 115]) * scale + [x, y, x, y], landmarks=landmarks, score=0.9)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with open_source(CLIP) as source:
        return next(iter(source)).image


def test_a_steady_face_keeps_its_number_and_gets_steadier() -> None:
    rng = np.random.default_rng(0)
    tracker, jitter, smooth = Tracker(), [], []
    for _ in range(200):
        face = face_at(100, 100, noise=rng.normal(0, 1, (5, 2)))
        (tracked,) = tracker.update([face], FRAME)
        assert (tracked.track, tracked.missed) == (0, 0)
        jitter.append(face.landmarks)
        smooth.append(tracked.face.landmarks)
    assert np.std(np.diff(smooth[20:], axis=0)) < 0.6 * np.std(np.diff(jitter[20:], axis=0))
    assert np.abs(np.mean(smooth[20:], 0) - TEMPLATE - 100).max() < 0.3


@pytest.mark.parametrize("speed", [1.0, 5.0, 12.0])
def test_a_moving_face_is_followed_without_lag(speed: float) -> None:
    tracker = Tracker()
    errors = []
    for frame in range(30):
        face = face_at(20 + speed * frame, 100)
        (tracked,) = tracker.update([face], FRAME)
        assert tracked.track == 0
        errors.append(np.abs(tracked.face.landmarks - face.landmarks).max())
    assert max(errors[10:]) < 0.02 * 80  # two per cent of the face's height


def test_a_sudden_start_is_caught_up_with() -> None:
    tracker = Tracker()
    xs = [100.0] * 20 + [100 + 8 * step for step in range(15)]
    errors = [np.abs(tracker.update([face_at(x, 100)], FRAME)[0].face.box - face_at(x, 100).box).max() for x in xs]
    assert max(errors) < 0.08 * 80
    assert errors[-1] < 0.02 * 80


def test_a_missed_face_is_predicted_for_the_stated_frames_and_then_dropped() -> None:
    tracker = Tracker(hold=3)
    for frame in range(12):
        tracker.update([face_at(20 + 4 * frame, 100)], FRAME)
    for missed in (1, 2, 3):
        (tracked,) = tracker.update([], FRAME)
        assert (tracked.track, tracked.missed) == (0, missed)
        assert tracked.face.score < 0.9
        expected = face_at(20 + 4 * (11 + missed), 100)
        assert np.abs(tracked.face.box - expected.box).max() < 5
    assert tracker.update([], FRAME) == ()
    (again,) = tracker.update([face_at(70, 100)], FRAME)
    assert again.track == 1  # numbers are never used again


def test_a_face_that_comes_back_in_time_keeps_its_number() -> None:
    tracker = Tracker(hold=5)
    for frame in range(10):
        tracker.update([face_at(100 + 3 * frame, 100)], FRAME)
    for _ in range(4):
        tracker.update([], FRAME)
    (tracked,) = tracker.update([face_at(100 + 3 * 14, 100)], FRAME)
    assert (tracked.track, tracked.missed) == (0, 0)


def test_without_hold_nothing_is_predicted() -> None:
    tracker = Tracker(hold=0)
    tracker.update([face_at(100, 100)], FRAME)
    assert tracker.update([], FRAME) == ()


def test_two_faces_that_pass_each_other_are_not_mixed_up() -> None:
    tracker = Tracker()
    for frame in range(60):
        left, right = face_at(20 + 6 * frame, 60), face_at(440 - 6 * frame, 190)
        pair = (left, right) if frame % 2 else (right, left)  # the detector's order says nothing
        by_track = {item.track: item.face.box[1] for item in tracker.update(pair, FRAME)}
        if frame == 0:
            tracks = sorted(by_track, key=by_track.__getitem__)
        assert sorted(by_track, key=by_track.__getitem__) == tracks


def test_detected_faces_come_in_their_order_then_predicted_ones() -> None:
    tracker = Tracker()
    a, b, c = face_at(0, 0), face_at(200, 100), face_at(400, 200)
    assert [item.track for item in tracker.update([a, b, c], FRAME)] == [0, 1, 2]
    assert [(item.track, item.missed) for item in tracker.update([c, a], FRAME)] == [(2, 0), (0, 0), (1, 1)]


def test_a_cut_ends_every_track_but_a_light_does_not() -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 200, (6, 8, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    other = cv2.resize(rng.integers(0, 200, (6, 8, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    face = face_at(200, 200)
    tracker = Tracker()
    assert tracker.update([face], scene)[0].track == 0
    assert tracker.update([face], np.clip(scene.astype(int) + 50, 0, 255).astype(np.uint8))[0].track == 0
    assert [item.track for item in tracker.update([], np.clip(scene.astype(int) + 50, 0, 255).astype(np.uint8))] == [0]
    assert tracker.update([], other) == ()
    assert tracker.update([face], other)[0].track == 1


def test_a_cut_between_dark_scenes() -> None:
    """Of the real clips' three cuts two change no more than 27 grey levels."""
    rng = np.random.default_rng(3)
    scene, other = (
        cv2.resize(rng.integers(0, 90, (6, 8, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC) for _ in "ab"
    )
    assert np.abs(scene.astype(int) - other).mean() < 27
    tracker = Tracker()
    assert tracker.update([face_at(200, 200)], scene)[0].track == 0
    assert tracker.update([face_at(200, 200)], other)[0].track == 1


def test_a_missed_face_goes_where_the_picture_goes(portrait: np.ndarray) -> None:
    """It stops at once when the picture stops: no guess from its speed could know that."""
    tracker, start = Tracker(), face_at(170, 40)
    xs = [2.0 * min(index, 12) for index in range(20)]
    for index, x in enumerate(xs):
        frame = cv2.warpAffine(portrait, np.array([[1, 0, x], [0, 1, 0]]), portrait.shape[1::-1])
        (tracked,) = tracker.update([face_at(170 + x, 40)] if index < 12 else [], frame)
        assert np.abs(tracked.face.box - start.box - [x, 0, x, 0]).max() < 1
    assert tracked.missed == 8


def test_detector_noise_stays_out_where_the_picture_shows_the_motion(portrait: np.ndarray) -> None:
    rng, tracker, off = np.random.default_rng(0), Tracker(), []
    for index in range(60):
        x = 15 * np.sin(index / 4)
        frame = cv2.warpAffine(portrait, np.array([[1, 0, x], [0, 1, 0]]), portrait.shape[1::-1])
        (tracked,) = tracker.update([face_at(170 + x, 40, noise=rng.normal(0, 1.5, (5, 2)))], frame)
        off.append(tracked.face.landmarks - face_at(170 + x, 40).landmarks)
    assert np.abs(np.diff(off, axis=0)[10:]).mean() < 0.15 * 1.5
    assert np.abs(off[10:]).max() < 2


def test_motion_that_contradicts_the_detector_is_not_believed(portrait: np.ndarray) -> None:
    """The face walks behind a picture that stands still: what moves under its box is not the face."""
    tracker = Tracker()
    for index in range(20):
        (tracked,) = tracker.update([face_at(60 + 14 * index, 40)], portrait)
        assert tracked.track == 0
    assert np.abs(tracked.face.box - face_at(60 + 14 * 19, 40).box).max() < 0.25 * 80


def test_a_predicted_face_that_left_the_frame_is_dropped() -> None:
    tracker = Tracker(hold=30)
    for frame in range(12):
        tracker.update([face_at(400 + 15 * frame, 100)], FRAME)
    counts = [len(tracker.update([], FRAME)) for _ in range(12)]
    assert counts[0] == 1
    assert counts[-1] == 0


def test_one_real_face_is_one_track() -> None:
    if not VIDEO.exists():
        pytest.skip("needs ../shared/data/videos")
    capture, tracker, detector, seen = cv2.VideoCapture(str(VIDEO)), Tracker(), YuNetDetector(threads=1), set()
    for _ in range(25):
        ok, frame = capture.read()
        if not ok:
            break
        tracked = tracker.update(detector.detect(frame), frame)
        assert len(tracked) == 1
        seen.add(tracked[0].track)
    assert seen == {0}


def test_bad_arguments_are_named() -> None:
    for options in ({"hold": -1}, {"hold": 1.5}, {"cut": "soon"}, {"cut": -3}):
        with pytest.raises(ArgumentError, match=f"^{next(iter(options))}: got"):
            Tracker(**options)
    with pytest.raises(FrameError, match="frame: got"):
        Tracker().update([], np.zeros((10, 10, 3), np.uint8))


def test_a_face_seen_once_is_predicted_once() -> None:
    tracker = Tracker(hold=8)
    tracker.update([face_at(100, 100)], FRAME)
    assert [item.missed for item in tracker.update([], FRAME)] == [1]
    assert tracker.update([], FRAME) == ()


def test_who_speaks_does_not_move_in_the_frame(portrait: np.ndarray) -> None:
    """The picture stands still, and the detector's mouth goes up and down: crops do not, as long as it is a little."""
    tracker, seen = Tracker(), []
    for index in range(60):
        speech = np.zeros((5, 2))
        speech[3:, 1] = 3 * np.sin(index / 3)
        (tracked,) = tracker.update([face_at(170, 40, noise=speech)], portrait)
        seen.append(tracked.face.landmarks)
    assert np.abs(np.diff(seen[20:], axis=0)).max() < 0.01
    assert np.abs(np.mean(seen[20:], 0) - face_at(170, 40).landmarks).max() < 1.5


def test_a_slow_drift_is_followed(portrait: np.ndarray) -> None:
    tracker = Tracker()
    for index in range(80):
        x = 0.1 * index
        frame = cv2.warpAffine(portrait, np.array([[1, 0, x], [0, 1, 0]]), portrait.shape[1::-1])
        (tracked,) = tracker.update([face_at(170 + x, 40)], frame)
    assert np.abs(tracked.face.landmarks - face_at(170 + x, 40).landmarks).max() < 1
