"""Which of a stream's or picture's keys a new face gets: the first whose surrogate looks natural, and like
somebody else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import align
from mfm_edge.critic import Critic
from mfm_edge.engine import Engine
from mfm_edge.slots import from_left
from mfm_edge.style import FaceKeys
from mfm_edge.track import TrackedFace
from mfm_edge.types import SLOTS, AlignedFace, Face

__all__ = ["FAR", "NATURAL", "TRIES", "SlotChoice", "TrackSlots"]

FAR = 10.0
"""Distance from which two faces look like two people. Of pairs of photos of one person 24 in 25 are nearer, of pairs
of people and of surrogates and their originals one in four. Whoever asks for more gets surrogates that are all alike,
since they lie all on the other side of the original."""

NATURAL = 0.5
"""From which a surrogate is natural enough for no better one to be looked for: three in ten of those that keys make."""

TRIES = 8
"""Most keys that a face is tried under, a third of a second for a live stream. On average it is 5."""


class SlotChoice:
    """Tries keys on a face before the first of its surrogates is shown.

    A key asks for a person without knowing the original, so that now and then somebody is asked to look much like
    himself, and more often like nobody who fits into the picture. Here that is seen, and another slot's key taken. A
    slot tells of the original no more than that the keys before it would have left too much of it, or suited it less.
    """

    def __init__(self, engine: Engine, critic: Critic) -> None:
        self._engine, self._critic = engine, critic

    def choose(self, face: AlignedFace, keys: FaceKeys, first: int, taken: Collection[int]) -> int:
        """face: about to be anonymised. first: the slot to try first, the others follow. taken: slots of other people
        who are seen at the same time, which are left to them as long as there are others.

        Returns the first slot whose surrogate is at least FAR from the original and at least NATURAL. Where there is
        none in TRIES, of those that are far enough the most natural; where none is, the one that is furthest.
        """
        own = self._critic.look(face.crop[None]).embeddings[0]
        in_turn = [(first + step) % SLOTS for step in range(SLOTS)]
        candidates = [slot for slot in in_turn if slot not in taken] or in_turn
        tried: list[tuple[bool, float, int]] = []
        for slot in candidates[:TRIES]:
            surrogate = self._engine.modify(face.crop[None], [keys.of(slot)], face.landmarks[None]).faces
            looks = self._critic.look(surrogate)
            distance, natural = float(np.linalg.norm(looks.embeddings[0] - own)), float(looks.natural[0])
            hides = distance >= FAR
            if hides and natural >= NATURAL:
                return slot
            tried.append((hides, natural if hides else distance, slot))
        return max(tried, key=lambda one: one[:2])[2]

    def in_picture(
        self, frame: NDArray[np.uint8], faces: Sequence[Face], trusted: Sequence[bool], keys: FaceKeys
    ) -> list[int]:
        """Of a picture's faces, from left to right. Those that are not trusted, and will be covered, have no choice."""
        slots, taken = from_left(faces), set[int]()
        for index in sorted(range(len(faces)), key=slots.__getitem__):
            if trusted[index]:
                slots[index] = self.choose(align(frame, faces[index]), keys, slots[index], taken)
                taken.add(slots[index])
        return slots


class TrackSlots:
    """The slots of a stream's tracks, each chosen in the first frame in which its face is trusted."""

    def __init__(self, choice: SlotChoice) -> None:
        self._choice = choice
        self._slots: dict[int, int] = {}
        self._keys: FaceKeys | None = None

    def of(
        self,
        frame: NDArray[np.uint8],
        tracked: Sequence[TrackedFace],
        chosen: Sequence[TrackedFace],
        trusted: Sequence[bool],
        keys: FaceKeys,
    ) -> tuple[int, ...]:
        """The next frame's: everybody who is tracked in it, who of them is to be anonymised, and whether with a
        surrogate. Other keys than before make everybody choose anew; tracks that ended are forgotten."""
        if keys is not self._keys:
            self._slots, self._keys = {}, keys
        self._slots = {face.track: self._slots[face.track] for face in tracked if face.track in self._slots}
        for face, ok in zip(chosen, trusted, strict=True):
            if ok and face.track not in self._slots:
                taken, first = set(self._slots.values()), face.track % SLOTS
                self._slots[face.track] = self._choice.choose(align(frame, face.face), keys, first, taken)
        return tuple(self._slots.get(face.track, face.track % SLOTS) for face in chosen)
