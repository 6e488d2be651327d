"""MfmRuntime and MfmStream: whose faces, under which keys. Composition only; each step lives in its own module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mfm_edge.critic import Critic
from mfm_edge.detect import Detector, MeshDetector, StillSceneDetector, YuNetDetector
from mfm_edge.engine.choose import open_engine
from mfm_edge.engine.folder import read_mark
from mfm_edge.errors import ArgumentError, FactorError, MfmError
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, IMAGE_SALT, Factors, KeyDerivation, derive_keys
from mfm_edge.frame_modifier import FrameModifier
from mfm_edge.guard import SteadyTrust, cover_frame, trusts
from mfm_edge.key_evidence import KeyEvidence
from mfm_edge.mark import MarkReader
from mfm_edge.realign import Realigner
from mfm_edge.selection import Selection
from mfm_edge.slot_choice import SlotChoice, TrackSlots
from mfm_edge.style import FaceKeys
from mfm_edge.surrogate_finder import TracksFoundAgain, found_again
from mfm_edge.track import TrackedFace, Tracker
from mfm_edge.types import FaceRecord, Protected, Restored, check_frame

__all__ = ["Found", "MfmRuntime", "MfmStream"]

MOST_WORKERS = 4
"""Each has a frame at hand."""


@dataclass(frozen=True, slots=True)
class Found:
    """A frame (H, W, 3) uint8 BGR of a stream, who of it is to be protected, whether the network may be trusted with
    each, under which slot's key, and how many are left visible; incident: that this is not known, and all of it is to
    be covered."""

    frame: NDArray[np.uint8]
    faces: tuple[TrackedFace, ...] = ()
    trusted: tuple[bool, ...] = ()
    slots: tuple[int, ...] = ()
    visible: int = 0
    incident: bool = False


class MfmRuntime:
    """Anonymises and restores faces in frames.

    model: folder of a network (default: the shipped one). detector: any Detector (default: the embedded
    YuNet); where eyes, nose and mouth are in the faces that it finds, a mesh tells more exactly.
    providers, threads, precision, strict: see open_engine in mfm_edge.engine.choose. trust_unknown_model: also execute
    another network than the one that comes with this version, such as your own: only when you trust its maker.
    workers: how many frames of a file are worked on at the same time, by one thread of the network each: on a CPU more
    frames a second than with all threads on one frame, which each frame alone waits longer for. None: as many as there
    are threads, MOST_WORKERS at most. 1, all threads on one frame, is best for live sources and single pictures.
    Raises ModelError when a model cannot be loaded, ArgumentError for a number of workers below 1.
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
        workers: int | None = 1,
    ) -> None:
        if workers is None:
            workers = min(MOST_WORKERS, threads or _cores())
        elif workers < 1:
            raise ArgumentError(f"workers: got {workers}, takes a whole number from 1, or None")
        engine = open_engine(
            model,
            providers=providers,
            threads=threads if workers == 1 else 1,
            callers=workers,
            precision=precision,
            strict=strict,
            trust_unknown_model=trust_unknown_model,
        )
        self.workers = workers if engine.on_cpu else 1
        self._frames, self._choice = FrameModifier(engine), SlotChoice(engine, Critic(), workers=self.workers)
        self._read_mark = partial(read_mark, model, known_only=not trust_unknown_model)
        self._detector = MeshDetector(YuNetDetector() if detector is None else detector)
        # Deriving is slow on purpose; an application that calls frame by frame must not pay for it each time.
        self._keys = lru_cache(maxsize=8)(_face_keys)

    @property
    def model_id(self) -> str:
        """Identifies the network's weights; a sidecar names it."""
        return self._frames.engine.model_id

    @property
    def provider(self) -> str:
        """What really executes the network."""
        return self._frames.engine.provider

    def anonymize(self, frame: NDArray[np.uint8], factors: Factors) -> Protected:
        """Replace every face in a frame by another person's.

        frame: (H, W, 3) uint8 BGR, both sides >= 64; it is not changed. Faces too small or too uncertain for the
        network are pixelated beyond recognition. Faces take the keys' slots from left to right, but for slots in which
        their surrogates would look like them. Raises FrameError, FactorError.
        """
        check_frame(frame)
        keys = self._keys_for(factors)
        faces = self._detector.detect(frame)
        trusted = [trusts(face) for face in faces]
        slots = self._choice.in_picture(frame, faces, trusted, keys)
        return self._frames.protect(frame, faces, keys, trusted, [None] * len(faces), slots)

    def restore(
        self, frame: NDArray[np.uint8], factors: Factors, faces: Sequence[FaceRecord] | None = None
    ) -> Restored:
        """Turn the faces of an anonymised frame back. With other factors than those used it shows yet other people.

        frame: (H, W, 3) uint8 BGR; it is not changed. faces: the records of `anonymize`; when None the faces are
        detected again, and their keys' marks looked for, which takes half a second a face and costs some accuracy.
        Raises FrameError, FactorError, ArgumentError.
        """
        check_frame(frame)
        keys = self._keys_for(factors)
        if faces is None:
            faces = found_again(self._realigner, frame, self._detector.detect(frame), keys)
            return self._frames.restore(frame, keys, faces)
        return self._frames.restore(frame, keys, faces, KeyEvidence())

    def open_stream(
        self,
        factors: Factors,
        *,
        salt: bytes | None = None,
        key_derivation: KeyDerivation = DEFAULT_KEY_DERIVATION,
        selection: Selection | None = None,
    ) -> MfmStream:
        """A stream of frames under the same factors: faces are tracked, landmarks smoothed, and a track keeps one key.

        salt: 8 to 64 bytes; None draws a random one (anonymising), which the sidecar must keep for restoring.
        selection: whom `MfmStream.anonymize` anonymises; None: everybody.
        """
        salt = os.urandom(16) if salt is None else bytes(salt)
        keys, sealing_key = _derive(factors, salt, key_derivation)
        return MfmStream(self, keys, salt, key_derivation, sealing_key=sealing_key, selection=selection)

    @cached_property
    def _realigner(self) -> Realigner:
        """Not for who only anonymises."""
        return Realigner(MarkReader(self._read_mark()))

    def _keys_for(self, factors: Factors) -> FaceKeys:
        return self._keys(_checked(factors), IMAGE_SALT, DEFAULT_KEY_DERIVATION)


class MfmStream:
    """Frames of one source under the same factors; from MfmRuntime.open_stream. A context manager.

    salt, key_derivation: what restoring needs beside the factors; both public.
    """

    def __init__(
        self,
        runtime: MfmRuntime,
        keys: FaceKeys,
        salt: bytes,
        key_derivation: KeyDerivation,
        *,
        sealing_key: bytes,
        selection: Selection | None = None,
    ) -> None:
        self.salt = salt
        self.key_derivation = key_derivation
        self._runtime, self._frames = runtime, runtime._frames
        self._sealing_key: bytes | None = sealing_key
        self._keys: FaceKeys | None = keys
        self._selection = selection
        self._changing, self._finding = Lock(), Lock()
        self._begin()
        self._again, self._found_again, self._evidence = Tracker(), TracksFoundAgain(), KeyEvidence()  # of restoring

    def anonymize(self, frame: NDArray[np.uint8]) -> Protected:
        """Like MfmRuntime.anonymize, with faces tracked. Fails closed: when anything goes wrong in a valid frame, the
        whole frame is covered and counted as an incident, and the next frame starts afresh."""
        return self.protect(self.find(frame))

    def find(self, frame: NDArray[np.uint8]) -> Found:
        """The first half of `anonymize`: whose faces are where. Takes frames in order; other threads may `protect`
        those before it meanwhile."""
        check_frame(frame)
        keys = self._live_keys()
        try:
            with self._finding:
                tracked = self._tracker.update(self._detector.detect(frame), frame)
                if any(face.missed for face in tracked):
                    self._detector.look_again()
                chosen = tuple(tracked if self._selection is None else self._selection.choose(tracked, frame))
                trusted = tuple(self._trust(chosen))
                slots = self._track_slots.of(frame, tracked, chosen, trusted, keys)
                return Found(frame, chosen, trusted, slots, len(tracked) - len(chosen))
        except Exception:
            self._start_afresh()
            return Found(frame, incident=True)

    def protect(self, found: Found) -> Protected:
        """The second half of `anonymize`: surrogates into a frame of `find`. May be called by several threads."""
        keys = self._live_keys()
        if not found.incident:
            try:
                faces, tracks = [t.face for t in found.faces], [t.track for t in found.faces]
                protected = self._frames.protect(found.frame, faces, keys, found.trusted, tracks, found.slots)
                return replace(protected, visible=found.visible)
            except FactorError:
                raise
            except Exception:
                self._start_afresh()
        return Protected(frame=cover_frame(found.frame), faces=(), incidents=1)

    def restore(self, frame: NDArray[np.uint8], faces: Sequence[FaceRecord] | None = None) -> Restored:
        """Like MfmRuntime.restore, under the stream's keys; faces: None finds them again. Where they are given, several
        threads may call it at the same time, and what faces before told of the keys counts for those whose marks are
        too faint to tell."""
        check_frame(frame)
        if faces is None:
            return self.restore_found_again(frame, self.find_again(frame))
        with self._changing:  # what is known of old keys says nothing of new ones
            keys, evidence = self._live_keys(), self._evidence
        return self._frames.restore(frame, keys, faces, evidence)

    def restore_found_again(self, frame: NDArray[np.uint8], faces: Sequence[FaceRecord]) -> Restored:
        """The second half of `restore` without records; faces: those of `find_again`, whose slots may be wrong. Several
        threads may call it at the same time."""
        return self._frames.restore(frame, self._live_keys(), faces)

    def find_again(self, frame: NDArray[np.uint8]) -> tuple[FaceRecord, ...]:
        """The surrogates of an anonymised frame, of which no record tells. Takes frames in order: faces are tracked, so
        that their keys' marks are looked for everywhere in few frames alone, see TracksFoundAgain."""
        check_frame(frame)
        keys = self._live_keys()
        tracked = self._again.update(self._runtime._detector.detect(frame), frame)
        tracked = tuple(face for face in tracked if trusts(face.face))
        return tuple(self._found_again.records(self._runtime._realigner, frame, tracked, keys))

    @property
    def sealing_key(self) -> bytes:
        """32 secret bytes for mfm_edge.seal, from the same derivation as the stream's own key."""
        if self._sealing_key is None:
            raise MfmError("stream: asked for its sealing key after close, has one only while open")
        return self._sealing_key

    def change_factors(self, factors: Factors) -> None:
        """Other keys, under the same salt, from the next frame on; may be called from another thread. Takes as long as
        opening a stream. What came before needs the old factors, so this is for streams that nobody records."""
        keys, sealing_key = _derive(factors, self.salt, self.key_derivation)
        with self._changing:
            self._live_keys()
            self._keys, self._sealing_key = keys, sealing_key
            self._found_again, self._evidence = TracksFoundAgain(), KeyEvidence()

    def close(self) -> None:
        """Forget the keys. The stream takes no frame afterwards."""
        with self._changing:
            self._keys = self._sealing_key = None

    def _begin(self) -> None:
        self._detector = StillSceneDetector(self._runtime._detector)
        self._tracker, self._trust = Tracker(), SteadyTrust()
        self._track_slots = TrackSlots(self._runtime._choice)

    def _start_afresh(self) -> None:
        with self._finding:
            self._begin()
            if self._selection is not None:
                self._selection.forget()  # the tracks it knew are gone, their numbers come again

    def _live_keys(self) -> FaceKeys:
        if self._keys is None:
            raise MfmError("stream: got a frame after close, takes frames only while open")
        return self._keys

    def __enter__(self) -> MfmStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked(factors: Factors) -> Factors:
    if not isinstance(factors, Factors):
        raise FactorError(f"factors: got {type(factors).__name__}, takes Factors(password=..., ...)")
    return factors


def _derive(factors: Factors, salt: bytes, parameters: KeyDerivation) -> tuple[FaceKeys, bytes]:
    """The faces' keys and the sealing key."""
    secrets = derive_keys(_checked(factors), salt=salt, parameters=parameters)
    return FaceKeys(secrets.style, factors.attribute_vector()), secrets.sealing


def _face_keys(factors: Factors, salt: bytes, parameters: KeyDerivation) -> FaceKeys:
    return _derive(factors, salt, parameters)[0]
