"""The faces of one frame through the network and back into the frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE, align, extract
from mfm_edge.beyond import complete, pack
from mfm_edge.engine import Engine
from mfm_edge.errors import ArgumentError
from mfm_edge.guard import cover_face, hides
from mfm_edge.key_evidence import TRUSTED, KeyEvidence, deviations
from mfm_edge.paste import paste
from mfm_edge.slots import ALL
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.types import CROP_SIZE, Face, FaceRecord, Protected, Restored, Treatment

__all__ = ["FrameModifier"]

_Modified = tuple[NDArray[np.uint8], NDArray[np.float32]]


class FrameModifier:
    """Replaces the faces that were found in a frame, and puts them back."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def protect(
        self,
        frame: NDArray[np.uint8],
        faces: Sequence[Face],
        keys: FaceKeys,
        trusted: Sequence[bool],
        tracks: Sequence[int | None],
        slots: Sequence[int],
    ) -> Protected:
        """frame: (H, W, 3) uint8 BGR. Of each face: whether the network may be trusted with it, its track, and its slot
        among the keys. Faces that are not trusted, or that the network does not hide, are covered."""
        out = np.ascontiguousarray(frame).copy()
        aligned = [align(frame, face) if ok else None for face, ok in zip(faces, trusted, strict=True)]
        crops = [a.crop for a in aligned if a is not None]
        places = [a.landmarks for a in aligned if a is not None]
        own = [keys.of(slot) for slot, cut in zip(slots, aligned, strict=True) if cut is not None]
        surrogates = iter([surrogate for surrogate, _ in self._modify(crops, own, places)])
        records = []
        for face, cut, track, slot in zip(faces, aligned, tracks, slots, strict=True):
            surrogate = None if cut is None else next(surrogates)
            if cut is None or surrogate is None or not hides(cut.crop, surrogate):
                cover_face(out, face)
                record = FaceRecord(_box_matrix(face), face.box, face.score, track, slot, Treatment.COVERED)
            else:
                paste(out, surrogate, cut.matrix)
                lost = pack(surrogate, cut.matrix, frame.shape[:2])
                record = FaceRecord(cut.matrix, face.box, face.score, track, slot, landmarks=cut.landmarks, beyond=lost)
            records.append(record)
        return Protected(frame=out, faces=tuple(records))

    def restore(
        self,
        frame: NDArray[np.uint8],
        keys: FaceKeys,
        faces: Sequence[FaceRecord],
        evidence: KeyEvidence | None = None,
    ) -> Restored:
        """frame: (H, W, 3) uint8 BGR. Where a record names no slot, all are tried, and the likeliest counts; the
        records that come back have it. evidence: of the keys, where the records' slots are right; it gets what these
        faces say. Raises ArgumentError for anything else than records."""
        records = list(faces)
        if not all(isinstance(record, FaceRecord) for record in records):
            raise ArgumentError("faces: got something else than FaceRecord in it, takes the records of anonymize")
        tries = [
            (index, slot)
            for index, record in enumerate(records)
            if record.treatment is Treatment.SURROGATE
            for slot in (ALL if record.slot is None else (record.slot,))
        ]
        crops = {index: _surrogate(frame, records[index]) for index in {index for index, _ in tries}}
        named = {index for index, record in enumerate(records) if record.slot is not None}
        sure = evidence is not None and evidence.right
        back = {slot: keys.of(slot).inverse() for slot in {slot for _, slot in tries}}
        modified = self._modify(
            [crops[index] for index, _ in tries],
            [back[slot].as_known() if sure and index in named else back[slot] for index, slot in tries],
            [records[index].landmarks for index, _ in tries],
        )
        found: dict[int, _Modified] = {}
        for (index, slot), one in zip(tries, modified, strict=True):
            if index not in found or deviations(one[1]) > deviations(found[index][1]):
                found[index] = one
                records[index] = replace(records[index], slot=slot)
        if evidence is not None and not sure:
            said = [found[index][1] for index in sorted(named & found.keys())]
            evidence.add(said)
            if evidence.right and any(deviations(one) < TRUSTED for one in said):
                return self.restore(frame, keys, faces, evidence)  # what not all of them tell they tell together
        out = np.ascontiguousarray(frame).copy()
        # Pasted last comes off first: overlapping faces are undone in reverse order.
        for index in sorted(found, reverse=True):
            paste(out, found[index][0], records[index].matrix)
        return Restored(frame=out, faces=tuple(records))

    def _modify(
        self,
        crops: Sequence[NDArray[np.uint8]],
        keys: Sequence[StyleKey],
        landmarks: Sequence[NDArray[np.float32] | None],
    ) -> Iterator[_Modified]:
        """Each crop's face and evidence, in order."""
        places = [TEMPLATE.astype(np.float32) if one is None else one for one in landmarks]
        for start in range(0, len(crops), self.engine.batch):
            some = slice(start, start + self.engine.batch)
            done = self.engine.modify(np.stack(crops[some]), keys[some], np.stack(places[some]))
            yield from zip(done.faces, done.evidence, strict=True)


def _box_matrix(face: Face) -> NDArray[np.float64]:
    """Frame px -> crop px from the box alone: landmarks that were not trusted may span no face at all."""
    x0, y0, x1, y1 = (float(value) for value in face.box)
    scale = CROP_SIZE / max(x1 - x0, y1 - y0, 1.0)
    return np.array([[scale, 0, -scale * x0], [0, scale, -scale * y0]])


def _surrogate(frame: NDArray[np.uint8], record: FaceRecord) -> NDArray[np.uint8]:
    return complete(extract(frame, record.matrix), record.beyond, record.matrix, frame.shape[:2])
