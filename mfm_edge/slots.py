"""Which slot's key a face has, where no record tells: all are tried, and the one whose mark is found is kept."""

from __future__ import annotations

from collections.abc import Sequence

from mfm_edge.types import SLOTS, Face

__all__ = ["ALL", "SlotMemory", "from_left"]

ALL = tuple(range(SLOTS))

_SOON = (1, 4, 16)
_THEN_EVERY = 64


class SlotMemory:
    """The slots that a stream's tracks were found in.

    All slots are tried in a track's first, fourth and sixteenth frame and in every 64th: a face may come in blurred,
    and the tracker may take one person for another. When depends on the track's age alone, and not on what was found,
    so that the time it takes tells nothing about the factors.
    """

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._ages: dict[int, int] = {}

    def candidates(self, tracks: Sequence[int]) -> list[tuple[int, ...]]:
        """The next frame's tracks -> slots to try for each, the one found before first; the most trusted is to be
        kept, the first among equals. Other tracks are forgotten."""
        self._ages = {track: self._ages.get(track, 0) + 1 for track in tracks}
        self._slots = {track: self._slots.get(track, 0) for track in tracks}
        return [self._of(track) for track in tracks]

    def keep(self, tracks: Sequence[int], slots: Sequence[int]) -> None:
        """What was found in the frame."""
        self._slots.update(zip(tracks, slots, strict=True))

    def _of(self, track: int) -> tuple[int, ...]:
        found, age = self._slots[track], self._ages[track]
        if age in _SOON or age % _THEN_EVERY == 0:
            return (found, *(slot for slot in ALL if slot != found))
        return (found,)


def from_left(faces: Sequence[Face]) -> list[int]:
    """The slots of a picture's faces: in turn, from left to right by the centres of their boxes, then from the top."""
    centres = [(face.box[:2] + face.box[2:]).tolist() for face in faces]
    slots = [0] * len(faces)
    for place, index in enumerate(sorted(range(len(faces)), key=centres.__getitem__)):
        slots[index] = place % SLOTS
    return slots
