"""What is known of one protected frame: a line of the sidecar."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.beyond import MAX_BYTES as MAX_BEYOND
from mfm_edge.beyond import unpack
from mfm_edge.errors import ArgumentError, RecordError
from mfm_edge.fingerprint import MAX_BYTES
from mfm_edge.record.checks import check_keys, integer, number, numbers
from mfm_edge.types import SLOTS, FaceRecord, Treatment

__all__ = ["MAX_FACES", "FrameRecord", "frame_from_json", "frame_to_json"]

MAX_FACES = 1024
"""Most faces in one frame that are written or read."""

_FRAME_KEYS = {"index", "time", "faces", "incidents", "fingerprint"}
_FACE_KEYS = {"matrix", "box", "score", "track", "slot", "treatment", "landmarks", "beyond"}
_MAX_LANDMARK = 1024
_MOST_BEYOND = 1 << 18
"""Bytes of all faces' surrogates beyond the frame's edge that are written of one frame; the first ones count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """One protected frame. index: from 0, no gaps. time: s on the video's clock or None. incidents: see Protected.

    fingerprint: of the protected frame without its faces, see mfm_edge.fingerprint; None for none.
    """

    index: int
    faces: tuple[FaceRecord, ...]
    time: float | None = None
    incidents: int = 0
    fingerprint: bytes | None = None


def frame_to_json(frame: FrameRecord) -> dict[str, Any]:
    sizes = itertools.accumulate(0 if face.beyond is None else len(face.beyond) for face in frame.faces)
    faces = [
        {
            "matrix": face.matrix.reshape(-1).tolist(),  # full precision: restoring resamples with the same numbers
            "box": [round(float(edge), 2) for edge in face.box],
            "score": round(face.score, 4),
            "track": face.track,
            "slot": face.slot,
            "treatment": str(face.treatment),
            "landmarks": None if face.landmarks is None else [round(float(v), 2) for v in face.landmarks.reshape(-1)],
            "beyond": None if face.beyond is None or size > _MOST_BEYOND else base64.b64encode(face.beyond).decode(),
        }
        for face, size in zip(frame.faces, sizes, strict=True)
    ]
    shown = None if frame.fingerprint is None else frame.fingerprint.hex()
    return {"index": frame.index, "time": frame.time, "faces": faces, "incidents": frame.incidents,
            "fingerprint": shown}  # fmt: skip


def frame_from_json(content: Any) -> FrameRecord:
    check_keys("frame", content, _FRAME_KEYS)
    faces = content["faces"]
    if not isinstance(faces, list) or len(faces) > MAX_FACES:
        got = f"{len(faces)} faces" if isinstance(faces, list) else type(faces).__name__
        raise RecordError(f"faces: got {got}, takes a list of at most {MAX_FACES}")
    time = content["time"]
    return FrameRecord(
        index=integer("index", content["index"], 0, 1 << 53),
        time=None if time is None else number("time", time, -1e9, 1e12),
        faces=tuple(_face_from_json(face) for face in faces),
        incidents=integer("incidents", content["incidents"], 0, 1 << 53),
        fingerprint=_fingerprint(content["fingerprint"]),
    )


def _face_from_json(content: Any) -> FaceRecord:
    check_keys("face", content, _FACE_KEYS)
    matrix = numbers("matrix", content["matrix"], 6)
    if abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]) < 1e-9:
        raise RecordError("matrix: got one that cannot be inverted, takes frame px -> crop px")
    track, slot, landmarks = content["track"], content["slot"], content["landmarks"]
    try:
        treatment = Treatment(content["treatment"])
    except ValueError:
        takes = " or ".join(repr(str(known)) for known in Treatment)
        raise RecordError(f"treatment: got {content['treatment']!r:.40}, takes {takes}") from None
    return FaceRecord(
        matrix=[matrix[:3], matrix[3:]],  # type: ignore[arg-type]  # FaceRecord makes the array
        box=numbers("box", content["box"], 4),  # type: ignore[arg-type]
        score=number("score", content["score"], 0.0, 1.0),
        track=None if track is None else integer("track", track, 0, 1 << 53),
        slot=None if slot is None else integer("slot", slot, 0, SLOTS - 1),
        treatment=treatment,
        landmarks=None if landmarks is None else _landmarks(landmarks),
        beyond=None if content["beyond"] is None else _beyond(content["beyond"]),
    )


def _landmarks(content: Any) -> NDArray[np.float32]:
    """Within reach of the crop: they only say where in it the network draws."""
    places = np.array(numbers("landmarks", content, 10), np.float32).reshape(5, 2)
    if np.abs(places).max() > _MAX_LANDMARK:
        raise RecordError(f"landmarks: got {np.abs(places).max():.4g}, takes crop px up to {_MAX_LANDMARK}")
    return places


def _beyond(value: Any) -> bytes:
    try:
        if not isinstance(value, str) or len(value) > 2 * MAX_BEYOND:
            raise ArgumentError(f"beyond: got {value!r:.40}, takes up to {MAX_BEYOND} bytes in base64")
        packed = base64.b64decode(value, validate=True)
        unpack(packed)
    except ValueError as error:  # an ArgumentError is one, too
        raise RecordError(str(error) if isinstance(error, ArgumentError) else f"beyond: {error}") from None
    return packed


def _fingerprint(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        shown = bytes.fromhex(value)
    except (TypeError, ValueError):
        shown = b""
    if not 1 <= len(shown) <= MAX_BYTES:
        raise RecordError(f"fingerprint: got {value!r:.40}, takes 1 to {MAX_BYTES} bytes in hexadecimal, or null")
    return shown
