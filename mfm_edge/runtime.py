"""MfmRuntime: detect, align, modify, paste. Composition only; each step lives in its own module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import TEMPLATE, align, extract
from mfm_edge.detect import Detector, StillSceneDetector, YuNetDetector
from mfm_edge.engine.choose import open_engine
from mfm_edge.errors import ArgumentError, FactorError, MfmError
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, IMAGE_SALT, Factors, KeyDerivation, derive_keys, derive_secret
from mfm_edge.guard import SteadyTrust, cover_face, cover_frame, hides, trusts
from mfm_edge.paste import paste
from mfm_edge.selection import Selection
from mfm_edge.style import StyleKey, expand
from mfm_edge.track import Tracker
from mfm_edge.types import CROP_SIZE, Face, FaceRecord, Protected, Restored, Treatment, check_frame

__all__ = ["MfmRuntime", "MfmStream"]

BATCH = 8
"""Most faces that go through the network at once: bounds the memory a crowd takes."""


class MfmRuntime:
    """Anonymises and restores faces in frames.

    model: folder of a network (default: the shipped one). detector: any Detector (default: the embedded YuNet).
    providers, threads, precision, strict: see open_engine in mfm_edge.engine.choose. trust_unknown_model: also execute
    another network than the one that comes with this version, such as your own: only when you trust its maker. Raises
    ModelError when a model cannot be loaded.
    """

    def __init__(
        self,
        *,
        model: Path | None = None,
        detector: Detector | None = None,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        precision: str | None = None,
        strict: bool = False,
        trust_unknown_model: bool = False,
    ) -> None:
        self._engine = open_engine(
            model,
            providers=providers,
            threads=threads,
            precision=precision,
            strict=strict,
            trust_unknown_model=trust_unknown_model,
        )
        self._detector = YuNetDetector() if detector is None else detector
        # Deriving is slow on purpose; an application that calls frame by frame must not pay for it each time.
        self._key = lru_cache(maxsize=8)(_derive_key)

    @property
    def model_id(self) -> str:
        """Identifies the network's weights; a sidecar names it."""
        return self._engine.model_id

    @property
    def provider(self) -> str:
        """What really executes the network."""
        return self._engine.provider

    def anonymize(self, frame: NDArray[np.uint8], factors: Factors) -> Protected:
        """Replace every face in a frame by another person's.

        frame: (H, W, 3) uint8 BGR, both sides >= 64; it is not changed. Faces too small or too uncertain for the
        network are pixelated beyond recognition. Raises FrameError, FactorError.
        """
        check_frame(frame)
        faces = self._detector.detect(frame)
        trusted = [trusts(face) for face in faces]
        return self._protect(frame, faces, self._key_for(factors), trusted, [None] * len(faces))

    def restore(
        self, frame: NDArray[np.uint8], factors: Factors, faces: Sequence[FaceRecord] | None = None
    ) -> Restored:
        """Turn the faces of an anonymised frame back. With other factors than those used it shows yet other people.

        frame: (H, W, 3) uint8 BGR; it is not changed. faces: the records of `anonymize`; when None the faces are
        detected again, which costs some accuracy. Raises FrameError, FactorError, ArgumentError.
        """
        check_frame(frame)
        return self._restore(frame, self._key_for(factors), faces)

    def open_stream(
        self,
        factors: Factors,
        *,
        salt: bytes | None = None,
        key_derivation: KeyDerivation = DEFAULT_KEY_DERIVATION,
        selection: Selection | None = None,
    ) -> MfmStream:
        """A stream of frames under one key: faces are tracked, landmarks smoothed.

        salt: 8 to 64 bytes; None draws a random one (anonymising), which the sidecar must keep for restoring.
        selection: whom `MfmStream.anonymize` anonymises; None: everybody.
        """
        salt = os.urandom(16) if salt is None else bytes(salt)
        keys = derive_keys(_checked(factors), salt=salt, parameters=key_derivation)
        key = expand(keys.style, factors.attribute_vector())
        return MfmStream(self, key, salt, key_derivation, sealing_key=keys.sealing, selection=selection)

    def _key_for(self, factors: Factors) -> StyleKey:
        return self._key(_checked(factors), IMAGE_SALT, DEFAULT_KEY_DERIVATION)

    def _protect(
        self,
        frame: NDArray[np.uint8],
        faces: Sequence[Face],
        key: StyleKey,
        trusted: Sequence[bool],
        tracks: Sequence[int | None],
    ) -> Protected:
        out = np.ascontiguousarray(frame).copy()
        aligned = [align(frame, face) if ok else None for face, ok in zip(faces, trusted, strict=True)]
        crops = [a.crop for a in aligned if a is not None]
        places = [a.landmarks for a in aligned if a is not None]
        surrogates = iter(self._modify(crops, key, places))
        records = []
        for face, cut, track in zip(faces, aligned, tracks, strict=True):
            surrogate = None if cut is None else next(surrogates)
            if cut is None or surrogate is None or not hides(cut.crop, surrogate):
                cover_face(out, face)
                record = FaceRecord(_box_matrix(face), face.box, face.score, track, Treatment.COVERED)
            else:
                paste(out, surrogate, cut.matrix)
                record = FaceRecord(cut.matrix, face.box, face.score, track, landmarks=cut.landmarks)
            records.append(record)
        return Protected(frame=out, faces=tuple(records))

    def _restore(self, frame: NDArray[np.uint8], key: StyleKey, faces: Sequence[FaceRecord] | None) -> Restored:
        if faces is None:
            found = [face for face in self._detector.detect(frame) if trusts(face)]
            cuts = [align(frame, face) for face in found]
            records = tuple(
                FaceRecord(cut.matrix, face.box, face.score, landmarks=cut.landmarks)
                for face, cut in zip(found, cuts, strict=True)
            )
        else:
            records = tuple(faces)
            if not all(isinstance(record, FaceRecord) for record in records):
                raise ArgumentError("faces: got something else than FaceRecord in it, takes the records of anonymize")
        out = np.ascontiguousarray(frame).copy()
        turnable = [record for record in records if record.treatment is Treatment.SURROGATE]
        crops = [extract(frame, record.matrix) for record in turnable]
        restored = self._modify(crops, key.inverse(), [record.landmarks for record in turnable])
        # Pasted last comes off first: overlapping faces are undone in reverse order.
        for record, crop in reversed(list(zip(turnable, restored, strict=True))):
            paste(out, crop, record.matrix)
        return Restored(frame=out, faces=records)

    def _modify(
        self, crops: Sequence[NDArray[np.uint8]], key: StyleKey, landmarks: Sequence[NDArray[np.float32] | None]
    ) -> list[NDArray[np.uint8]]:
        places = [TEMPLATE.astype(np.float32) if one is None else one for one in landmarks]
        done: list[NDArray[np.uint8]] = []
        for start in range(0, len(crops), BATCH):
            some = slice(start, start + BATCH)
            done.extend(self._engine.modify(np.stack(crops[some]), key, np.stack(places[some])))
        return done


class MfmStream:
    """Frames of one source under one key; from MfmRuntime.open_stream. A context manager.

    salt, key_derivation: what restoring needs beside the factors; both public.
    """

    def __init__(
        self,
        runtime: MfmRuntime,
        key: StyleKey,
        salt: bytes,
        key_derivation: KeyDerivation,
        *,
        sealing_key: bytes,
        selection: Selection | None = None,
    ) -> None:
        self.salt = salt
        self.key_derivation = key_derivation
        self._runtime = runtime
        self._sealing_key: bytes | None = sealing_key
        self._key: StyleKey | None = key
        self._selection = selection
        self._changing = Lock()
        self._start_afresh()

    def anonymize(self, frame: NDArray[np.uint8]) -> Protected:
        """Like MfmRuntime.anonymize, with faces tracked. Fails closed: when anything goes wrong in a valid frame, the
        whole frame is covered and counted as an incident, and the next frame starts afresh."""
        check_frame(frame)
        key = self._live_key()
        try:
            tracked = self._tracker.update(self._detector.detect(frame), frame)
            if any(face.missed for face in tracked):
                self._detector.look_again()
            chosen = tracked if self._selection is None else self._selection.choose(tracked, frame)
            faces, tracks = [t.face for t in chosen], [t.track for t in chosen]
            protected = self._runtime._protect(frame, faces, key, self._trust(chosen), tracks)
            return replace(protected, visible=len(tracked) - len(chosen))
        except Exception as error:
            if isinstance(error, (FactorError, KeyboardInterrupt)):
                raise
            self._start_afresh()
            if self._selection is not None:
                self._selection.forget()  # the tracks it knew are gone, their numbers come again
            return Protected(frame=cover_frame(frame), faces=(), incidents=1)

    def restore(self, frame: NDArray[np.uint8], faces: Sequence[FaceRecord] | None = None) -> Restored:
        """Like MfmRuntime.restore, under the stream's key."""
        check_frame(frame)
        return self._runtime._restore(frame, self._live_key(), faces)

    @property
    def sealing_key(self) -> bytes:
        """32 secret bytes for mfm_edge.seal, from the same derivation as the stream's own key."""
        if self._sealing_key is None:
            raise MfmError("stream: asked for its sealing key after close, has one only while open")
        return self._sealing_key

    def change_factors(self, factors: Factors) -> None:
        """Other keys, under the same salt, from the next frame on; may be called from another thread. Takes as long as
        opening a stream. What came before needs the old factors, so this is for streams that nobody records."""
        keys = derive_keys(_checked(factors), salt=self.salt, parameters=self.key_derivation)
        key = expand(keys.style, factors.attribute_vector())
        with self._changing:
            self._live_key()
            self._key, self._sealing_key = key, keys.sealing

    def close(self) -> None:
        """Forget the keys. The stream takes no frame afterwards."""
        with self._changing:
            self._key = self._sealing_key = None

    def _start_afresh(self) -> None:
        self._detector = StillSceneDetector(self._runtime._detector)
        self._tracker, self._trust = Tracker(), SteadyTrust()

    def _live_key(self) -> StyleKey:
        if self._key is None:
            raise MfmError("stream: got a frame after close, takes frames only while open")
        return self._key

    def __enter__(self) -> MfmStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _box_matrix(face: Face) -> NDArray[np.float64]:
    """Frame px -> crop px from the box alone: landmarks that were not trusted may span no face at all."""
    x0, y0, x1, y1 = (float(value) for value in face.box)
    scale = CROP_SIZE / max(x1 - x0, y1 - y0, 1.0)
    return np.array([[scale, 0, -scale * x0], [0, scale, -scale * y0]])


def _checked(factors: Factors) -> Factors:
    if not isinstance(factors, Factors):
        raise FactorError(f"factors: got {type(factors).__name__}, takes Factors(password=..., ...)")
    return factors


def _derive_key(factors: Factors, salt: bytes, parameters: KeyDerivation) -> StyleKey:
    secret = derive_secret(factors, salt=salt, parameters=parameters)
    return expand(secret, factors.attribute_vector())
