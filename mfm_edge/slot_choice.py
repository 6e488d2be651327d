"""Which of a stream's or picture's keys a new face gets: one whose surrogate looks natural, has the attributes that it
should have, and is unlike the original and the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import align
from mfm_edge.critic import Critic, Looks
from mfm_edge.engine import Engine
from mfm_edge.factors import STAYS
from mfm_edge.slots import from_left
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.track import TrackedFace
from mfm_edge.types import SLOTS, AlignedFace, Face

__all__ = ["ASKED", "AT_A_TIME", "FAR", "KEPT", "MOST", "NATURAL", "UNLIKE", "SlotChoice", "TrackSlots"]

FAR = 15.4
"""Distance from which two faces look like two people. Of pairs of photos of one person 998 in 1000 are nearer, of pairs
of people and of surrogates and their originals three in five. Whoever asks for more gets surrogates that are
all alike, since they lie all on the other side of the original."""

UNLIKE = 0.8
"""What a surrogate's distance from the mean of the others that were tried counts for, against how natural it is. By
naturalness alone, or as far as possible from the original, surrogates under two passwords would be alike."""

ASKED, KEPT = 15.0, 0.2
"""What the log-probability counts that a surrogate has an attribute as it was asked for, or, of those that should stay,
as the original has it, against how natural it is: what is asked for goes before, what should stay does not."""

AT_A_TIME, MOST, NATURAL = 4, 12, 0.25
"""How many keys a face is tried under: so many at a time, which takes two to three times as long as a face does in a
frame, until the one it would take is by so many standard deviations more natural than the mean of all surrogates and
has what was asked for; MOST at most, nine on average. Of all surrogates one in six is expected to be rated below 1.75
(training/ratings.py), of those that are taken one in eight."""


class SlotChoice:
    """Tries keys on a face before the first of its surrogates is shown.

    A key asks for a person without knowing the original, so that now and then somebody is asked to look much like
    himself, more often like nobody who fits into the picture, or without what a factor asks for. Here that is seen, and
    another slot's key taken. A slot tells of the original no more than that the other keys would have left too much of
    it, or suited it less.

    workers: how many threads make a face's surrogates, for an engine that runs each call on one.
    """

    def __init__(self, engine: Engine, critic: Critic, *, workers: int = 1) -> None:
        self._engine, self._critic, self._workers = engine, critic, workers

    def choose(self, face: AlignedFace, keys: FaceKeys, first: int, taken: Collection[int]) -> int:
        """face: about to be anonymised. first: the slot to try first, the others follow. taken: slots of other people
        who are seen at the same time, which are left to them as long as there are others.

        Of the slots that it tries, whose surrogates are at least FAR from the original, it returns the one that is most
        natural, by ASKED and KEPT has the right attributes, and by UNLIKE is least like the others; where none is that
        far, the one that is furthest from the original.
        """
        in_turn = [(first + step) % SLOTS for step in range(SLOTS)]
        slots = ([slot for slot in in_turn if slot not in taken] or in_turn)[:MOST]
        original, tried = self._critic.look(face.crop[None]), list[Looks]()
        for start in range(0, len(slots), AT_A_TIME):
            some = [keys.of(slot) for slot in slots[start : start + AT_A_TIME]]
            tried.append(self._critic.look(self._surrogates(face, some)))
            best, enough = _best(Looks(*map(np.concatenate, zip(*tried, strict=True))), original, keys.attributes)
            if enough:
                break
        return slots[best]

    def _surrogates(self, face: AlignedFace, keys: Sequence[StyleKey]) -> NDArray[np.uint8]:
        """(N, 128, 128, 3) uint8 BGR, of each key; as many at a time as the engine takes."""
        size = min(self._engine.batch, -(-len(keys) // self._workers))
        parts = [keys[start : start + size] for start in range(0, len(keys), size)]

        def make(some: Sequence[StyleKey]) -> NDArray[np.uint8]:
            return self._engine.modify(face.crop[None], some, face.landmarks[None]).faces

        if self._workers == 1:
            return np.concatenate([make(some) for some in parts])
        with ThreadPoolExecutor(self._workers, thread_name_prefix="slot choice") as pool:
            return np.concatenate([*pool.map(make, parts)])

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


def _best(tried: Looks, original: Looks, asked: NDArray[np.float32]) -> tuple[int, bool]:
    """Which of the surrogates that were tried a face takes, and whether more need not be tried. asked: (A,), in
    {-1, 0, +1}."""
    distance = np.linalg.norm(tried.embeddings - original.embeddings, axis=1)
    if not (distance >= FAR).any():
        return int(distance.argmax()), False
    mean_of_others = (tried.embeddings.sum(0) - tried.embeddings) / max(1, len(distance) - 1)
    score = tried.natural + UNLIKE * np.linalg.norm(tried.embeddings - mean_of_others, axis=1)
    score += _suits(tried.attributes, original.attributes[0], asked)
    best = int(np.where(distance >= FAR, score, -np.inf).argmax())
    has_it = (tried.attributes[best] * asked >= 0).all()
    return best, bool(has_it and tried.natural[best] >= NATURAL)


def _suits(
    surrogates: NDArray[np.float32], original: NDArray[np.float32], asked: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Logits of the attributes (N, A) and (A,), and what is asked for (A,), in {-1, 0, +1} -> how well each surrogate's
    attributes suit (N,), 0 at best."""
    weight = np.where(asked != 0, ASKED, KEPT * np.array(STAYS))
    wanted = np.where(asked != 0, asked > 0, 1 / (1 + np.exp(-original.astype(np.float64))))
    missed = wanted * np.logaddexp(0, -surrogates) + (1 - wanted) * np.logaddexp(0, surrogates)
    return np.asarray(-(weight * missed).sum(1))


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
