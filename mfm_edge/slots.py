"""The keys of a picture's or stream's faces: who has which."""

from __future__ import annotations

from collections.abc import Sequence

from mfm_edge.types import SLOTS, Face

__all__ = ["ALL", "from_left"]

ALL = tuple(range(SLOTS))


def from_left(faces: Sequence[Face]) -> list[int]:
    """The slots of a picture's faces: in turn, from left to right by the centres of their boxes, then from the top."""
    centres = [(face.box[:2] + face.box[2:]).tolist() for face in faces]
    slots = [0] * len(faces)
    for place, index in enumerate(sorted(range(len(faces)), key=centres.__getitem__)):
        slots[index] = place % SLOTS
    return slots
