"""Surrogates found again in frames, where no record tells of them: their places, and the slots of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import after, invert, locate
from mfm_edge.guard import trusts
from mfm_edge.realign import Realigner
from mfm_edge.slots import ALL
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.track import TrackedFace
from mfm_edge.types import Face, FaceRecord

__all__ = ["TracksFoundAgain", "found_again"]

_SOON = (1, 4, 16)
_THEN_EVERY = 64


def found_again(
    realigner: Realigner, frame: NDArray[np.uint8], faces: Sequence[Face], keys: FaceKeys
) -> list[FaceRecord]:
    """A picture's surrogates as the detector found them, less those that cannot be any -> their records."""
    records = []
    for face in filter(trusts, faces):
        matrix, places = locate(face)
        found = realigner.search(frame, matrix, _all_slots(keys))
        slot = 0 if found.key is None else found.key
        records.append(FaceRecord(found.matrix, face.box, face.score, slot=slot, landmarks=places))
    return records


@dataclass(slots=True)
class _Track:
    """age: frames it was seen in. correction: (2, 3), crop px as tracked -> crop px. slot: of its key."""

    correction: NDArray[np.float64]
    age: int = 0
    slot: int = 0


class TracksFoundAgain:
    """What is known of a stream's tracks.

    Everywhere, and for the marks of all slots, it looks in a track's first, fourth and sixteenth frame and in every
    64th: a face may come in blurred, and the tracker may take one person for another. In others it follows the mark of
    the slot it found. When depends on the track's age alone, and not on what was found, so that the time it takes
    tells nothing about the factors.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def records(
        self, realigner: Realigner, frame: NDArray[np.uint8], tracked: Sequence[TrackedFace], keys: FaceKeys
    ) -> list[FaceRecord]:
        """The next frame's, of those who are tracked in it; other tracks are forgotten."""
        new = np.eye(2, 3)
        self._tracks = {face.track: self._tracks.get(face.track, _Track(new)) for face in tracked}
        return [self._record(realigner, frame, face, keys) for face in tracked]

    def _record(
        self, realigner: Realigner, frame: NDArray[np.uint8], tracked: TrackedFace, keys: FaceKeys
    ) -> FaceRecord:
        track, face = self._tracks[tracked.track], tracked.face
        track.age += 1
        seen, places = locate(face)
        matrix = after(track.correction, seen)
        if track.age in _SOON or track.age % _THEN_EVERY == 0:
            found = realigner.search(frame, matrix, _all_slots(keys))
            track.slot = track.slot if found.key is None else found.key
        else:
            found = realigner.follow(frame, matrix, keys.of(track.slot))
        if found.key is not None:
            track.correction = after(found.matrix, invert(seen))
        return FaceRecord(found.matrix, face.box, face.score, tracked.track, track.slot, landmarks=places)


def _all_slots(keys: FaceKeys) -> list[StyleKey]:
    return [keys.of(slot) for slot in ALL]
