"""Identities across the frames of a stream, steady landmarks, and faces carried through missed detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect.boxes import overlaps
from mfm_edge.errors import ArgumentError
from mfm_edge.motion import Motion
from mfm_edge.types import Face, check_frame

__all__ = ["ON_GUESSED_MOTION", "ON_MEASURED_MOTION", "OneEuro", "Smoothing", "TrackedFace", "Tracker"]

_DISAGREEING = 0.15
"""Part of a face's size by which motion and detector may differ; beyond, something else moved before the face."""
_DETECTOR_NOISE, _DOUBTED = 0.02, 0.2
"""Part of a face's size by which the detector's points, root mean square, may lie elsewhere than where the picture took
them: who blinks or speaks does not move his head. That much is doubted, and counts for the second number."""
_AT_REST = 0.006
"""The same for a face that is shown where it was: what moves by less rests. Half a pixel of its crop, half of that
where the picture does not tell its motion, and the guess lags by itself."""
_OTHER_SCENE = 0.45
"""Least correlation of two frames' thumbnails in one scene. In the real clips cuts have at most 0.26, shaken heads that
fill the frame at least 0.64."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """A face of one frame with its identity.

    face: smoothed, or predicted when the detector missed it; the score then falls from frame to frame.
    track: the same number for the same face as long as it is followed, never used again.
    missed: frames since the detector saw it; 0 when it did in this one.
    """

    face: Face
    track: int
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Parameters of the One-Euro filter, in cycles per frame.

    min_cutoff: cutoff frequency at rest. beta: what it gains for a speed of one unit per frame. speed_cutoff: of the
    low-pass that the speed itself goes through.
    """

    min_cutoff: float
    beta: float
    speed_cutoff: float


ON_MEASURED_MOTION = Smoothing(min_cutoff=0.01, beta=2.0, speed_cutoff=0.02)
"""Where the pictures tell how a face moved, the detector only has to correct slow errors: its own noise stays out."""
ON_GUESSED_MOTION = Smoothing(min_cutoff=0.1, beta=6.0, speed_cutoff=1.0)
"""Where they do not, a face may have turned or stopped: quick to follow."""


class OneEuro:
    """The One-Euro filter on points (N, 2), px: steady at rest, without lag in motion. Each point has its own speed."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self.points = points
        self._speed = np.zeros_like(points)

    def __call__(self, points: NDArray[np.float64], unit: float, smoothing: Smoothing) -> NDArray[np.float64]:
        """The filtered points after new ones. unit: px that count as 1, so that the same parameters fit any size."""
        step = (points - self.points) / unit
        self._speed += _gain(smoothing.speed_cutoff) * (step - self._speed)
        cutoff = smoothing.min_cutoff + smoothing.beta * np.linalg.norm(self._speed, axis=1, keepdims=True)
        self.points = self.points + _gain(cutoff) * (points - self.points)
        return self.points


class Tracker:
    """Follows faces from frame to frame, by what the detector finds and by how the picture under them moves.

    hold: for how many frames at most a face that the detector no longer reports is carried on (as the picture moves,
    else with constant velocity, slowing down) and returned; 0 for none. Never for more frames than it was seen in, so
    that a false alarm passes quickly.
    cut: a frame that differs from the one before by more than this, mean absolute grey level 0..255, and resembles it
    little is another scene: every track ends there.

    Raises ArgumentError for a bad option.
    """

    def __init__(self, *, hold: int = 8, cut: float = 12.0) -> None:
        if isinstance(hold, bool) or not isinstance(hold, int) or hold < 0:
            raise ArgumentError(f"hold: got {hold!r}, takes a whole number of frames from 0")
        if not isinstance(cut, (int, float)) or not cut > 0:
            raise ArgumentError(f"cut: got {cut!r}, takes a number above 0")
        self._hold, self._cut = hold, cut
        self._tracks: list[_Track] = []
        self._next = 0
        self._motion = Motion()
        self._thumbnail: NDArray[np.float32] | None = None

    def update(self, faces: Sequence[Face], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """The faces of the next frame with their identities: those detected, then those predicted.

        faces: what the detector found in frame, (H, W, 3) uint8 BGR. Every detected face is returned, in its order.
        Raises FrameError for another frame.
        """
        grey = self._motion.look(check_frame(frame))
        if self._is_cut(grey):
            self._tracks = []
        for track in self._tracks:
            track.predict()
        assigned = _assign(self._tracks, faces)
        self._follow({track: faces[face] for face, track in assigned.items()})
        seen: list[_Track] = []
        for index, face in enumerate(faces):
            track_index = assigned.get(index)
            if track_index is None:
                track = _Track(face, self._next)
                self._next += 1
            else:
                track = self._tracks[track_index]
                track.see(face)
            seen.append(track)
        matched = set(assigned.values())
        unseen = [track for index, track in enumerate(self._tracks) if index not in matched]
        held = [
            track
            for track in unseen
            if track.missed <= min(self._hold, track.seen) and _still_there(track, seen, frame.shape)
        ]
        self._tracks = seen + held
        return tuple(TrackedFace(track.show(), track.number, track.missed) for track in self._tracks)

    def _follow(self, detected: Mapping[int, Face]) -> None:
        """Replaces predictions by what the pictures show; detected: by track, where the detector found it."""
        shifts = [track.shift_to(detected.get(index)) for index, track in enumerate(self._tracks)]
        moves = self._motion.of([track.before for track in self._tracks], shifts)
        for track, move in zip(self._tracks, moves, strict=True):
            track.follow(move)

    def _is_cut(self, grey: NDArray[np.uint8]) -> bool:
        before, now = self._thumbnail, cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        self._thumbnail = now
        if before is None or float(abs(now - before).mean()) <= self._cut:
            return False
        a, b = now - now.mean(), before - before.mean()
        likeness = float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))
        return likeness < _OTHER_SCENE  # a light switched on changes every level, not the picture


class _Track:
    """One face that is followed. Points are its landmarks and its box's two corners, (7, 2)."""

    def __init__(self, face: Face, number: int) -> None:
        self.face = face
        self.number = number
        self.missed = 0
        self.seen = 1
        points = _points(face)
        self._smooth = OneEuro(points)
        self._before = self._shown = points
        self._measured = False
        self._velocity = np.zeros(2)
        self._centre = points.mean(0)

    @property
    def before(self) -> NDArray[np.float64]:
        """(4,): its box in the frame before."""
        return self._before[5:].reshape(4)

    def shift_to(self, face: Face | None) -> NDArray[np.float64]:
        """(2,) px: how far it went since the frame before, to `face` or else to where it is predicted."""
        now = self._smooth.points if face is None else _points(face)
        return np.asarray(now.mean(0) - self._before.mean(0))

    def predict(self) -> None:
        """One frame onward without looking; `follow` and `see` correct it."""
        self.missed += 1
        self._before = self._smooth.points
        self._measured = False
        self._velocity *= 0.9  # heads stop
        self._move(self._before + self._velocity, self.face.score * 0.95)

    def follow(self, move: NDArray[np.float64] | None) -> None:
        """The picture shows how it moved, (2, 3), or does not (None)."""
        if move is None:
            return
        self._measured = True
        self._move(self._before @ move[:, :2].T + move[:, 2], self.face.score)
        if self.missed > 1:
            self._velocity += 0.3 * (self._smooth.points.mean(0) - self._before.mean(0) - self._velocity)

    def see(self, face: Face) -> None:
        """The detector found it. Filters start from the prediction, so that steady motion causes no lag."""
        points, unit = _points(face), _size(face)
        moved = (points.mean(0) - self._centre) / self.missed
        self._velocity += 0.3 * (moved - self._velocity)
        self._centre = points.mean(0)
        self.missed = 0
        self.seen += 1
        off = float(np.linalg.norm(points.mean(0) - self._smooth.points.mean(0))) / unit
        sure = self._measured and off < _DISAGREEING
        if sure:
            believed = _beyond(points, self._smooth.points, _DETECTOR_NOISE * unit)
            points = believed + _DOUBTED * (points - believed)
        self._move(self._smooth(points, unit, ON_MEASURED_MOTION if sure else ON_GUESSED_MOTION), face.score)

    def show(self) -> Face:
        """Where to show it, once a frame: where it was shown before, as long as it stays near."""
        slack = _AT_REST if self._measured else 0.0 if self.missed else _AT_REST / 2
        self._shown = _beyond(self._smooth.points, self._shown, slack * _size(self.face))
        return _face(self._shown, self.face.score)

    def _move(self, points: NDArray[np.float64], score: float) -> None:
        self._smooth.points = points
        self.face = _face(points, score)


def _assign(tracks: Sequence[_Track], faces: Sequence[Face]) -> dict[int, int]:
    """face index -> track index, the likeliest pairs first. Boxes must overlap or their centres be close."""
    if not tracks or not faces:
        return {}
    boxes = np.stack([track.face.box for track in tracks])
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, np.array([_size(track.face) for track in tracks])
    pairs = []
    for index, face in enumerate(faces):
        likeness = overlaps(boxes, face.box)
        distance = np.linalg.norm(centres - (face.box[:2] + face.box[2:]) / 2, axis=1) / np.maximum(sizes, _size(face))
        ratio = np.minimum(sizes, _size(face)) / np.maximum(sizes, _size(face))
        likeness = likeness - 0.1 * distance
        for other in np.flatnonzero((distance < 0.8) & (ratio > 0.4)):
            pairs.append((-float(likeness[other]), index, int(other)))
    result: dict[int, int] = {}
    for _, index, candidate in sorted(pairs):
        if index not in result and candidate not in result.values():
            result[index] = candidate
    return result


def _still_there(track: _Track, seen: Sequence[_Track], shape: tuple[int, ...]) -> bool:
    """Whether a predicted face is in the frame, and not one that was detected under another number."""
    box = track.face.box
    if box[2] <= 0 or box[3] <= 0 or box[0] >= shape[1] or box[1] >= shape[0]:
        return False
    if not seen:
        return True
    return bool((overlaps(np.stack([other.face.box for other in seen]), box, of_smaller=True) < 0.6).all())


def _beyond(points: NDArray[np.float64], rest: NDArray[np.float64], slack: float) -> NDArray[np.float64]:
    """From rest towards points (N, 2), short of them by slack, px, root mean square; rest where they are nearer."""
    far = float(np.sqrt(((points - rest) ** 2).sum(1).mean()))
    return rest + (points - rest) * (1 - slack / far) if far > slack else rest


def _face(points: NDArray[np.float64], score: float) -> Face:
    exact = points.astype(np.float32)
    return Face(box=exact[5:].reshape(4), landmarks=exact[:5], score=score)


def _points(face: Face) -> NDArray[np.float64]:
    return np.concatenate([face.landmarks, face.box.reshape(2, 2)]).astype(np.float64)


def _size(face: Face) -> float:
    width, height = face.box[2:] - face.box[:2]
    return float(max(width, height, 1.0))


def _gain(cutoff: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """A first-order low-pass' weight of the new sample, for a cutoff frequency per frame."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff, np.float64))))
