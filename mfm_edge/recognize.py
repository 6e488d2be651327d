"""Known people stay visible: a recogniser that the user supplies, pictures of those people, and a strict comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import estimate_transform
from mfm_edge.detect import Detector
from mfm_edge.detect.boxes import overlaps
from mfm_edge.errors import ArgumentError, ModelError
from mfm_edge.guard import trusts
from mfm_edge.image import ENDINGS, decode
from mfm_edge.track import TrackedFace
from mfm_edge.types import Face, check_frame

__all__ = ["KnownPeople", "OnnxRecognizer", "Recognizer", "embeddings_of_folder"]

ARCFACE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
"""(5, 2) px: where recognisers of 112x112 px expect both eyes, nose tip and mouth corners."""

_VALUES = {"-1..1": (127.5, 127.5), "0..255": (0.0, 1.0)}  # what is subtracted, and then divided by


class Recognizer(Protocol):
    """Makes embeddings: those of one person have a high cosine."""

    def embed(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """(D,) float32 of length 1 for a face of a (H, W, 3) uint8 BGR frame."""


class OnnxRecognizer:
    """A face recogniser from an ONNX file: one (N, 3, 112, 112) float32 RGB input, one (N, D) output.

    InsightFace's ArcFace models and OpenCV's SFace are such files. values: the range that the file takes its pixels in,
    "-1..1" (ArcFace) or "0..255" (SFace). threads: of ONNX Runtime; its own choice when None.

    Raises ModelError for a file of another kind, ArgumentError for other values.
    """

    def __init__(self, path: Path, *, values: str = "-1..1", threads: int | None = None) -> None:
        from mfm_edge.session import open_session

        if values not in _VALUES:
            raise ArgumentError(f"recognizer values: got {values!r}, takes {' or '.join(map(repr, _VALUES))}")
        self._subtract, self._divide = _VALUES[values]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"recognizer {path}: cannot be read ({error.strerror})") from None
        self._session: Any = open_session(content, threads=threads)
        try:
            inputs = {one.name: list(one.shape) for one in self._session.get_inputs()}
        except UnicodeDecodeError:  # a name of an input or of one of its sides
            raise ModelError(f"recognizer {path}: has names that are not UTF-8") from None
        shape = next(iter(inputs.values()), [])
        if len(inputs) != 1 or len(self._session.get_outputs()) != 1 or shape[1:] != [3, 112, 112]:
            raise ModelError(f"recognizer {path}: got inputs {shape}, takes one of (N, 3, 112, 112) and one output")
        self._input = next(iter(inputs))
        self._path = path

    def embed(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """See Recognizer. Raises ModelError when the file cannot be run or gives something else than one embedding."""
        matrix = estimate_transform(face.landmarks, template=ARCFACE)
        crop = cv2.warpAffine(frame, matrix, (112, 112), flags=cv2.INTER_LINEAR)
        x = (crop[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) - self._subtract) / self._divide
        try:
            embedding = np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(x, np.float32)})[0])
        except Exception as error:  # onnxruntime's errors share no base class of their own
            raise ModelError(f"recognizer {self._path}: ONNX Runtime cannot run it: {error}") from None
        if embedding.dtype.kind != "f":
            raise ModelError(f"recognizer {self._path}: gave {embedding.dtype}, takes a file that gives floats")
        if embedding.ndim != 2 or len(embedding) != 1 or not np.isfinite(embedding).all() or not embedding.any():
            raise ModelError(f"recognizer {self._path}: gave {embedding.shape}, takes a file that gives (N, D) numbers")
        return np.asarray(embedding[0] / np.linalg.norm(embedding[0]), np.float32)


def embeddings_of_folder(folder: Path, recognizer: Recognizer, detector: Detector) -> NDArray[np.float32]:
    """(N, D) float32: one embedding a picture of a folder. Raises ArgumentError, naming the picture, when one does not
    show exactly one face that is large enough, and for a folder without pictures."""
    takes = "a folder of pictures with one person each"
    if not folder.is_dir():
        raise ArgumentError(f"keep faces: {folder} is no folder, takes {takes}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not paths:
        raise ArgumentError(f"keep faces: {folder} holds no picture, takes {takes} ({', '.join(ENDINGS)})")
    found = []
    for path in paths:
        try:
            image = decode(path.read_bytes())
        except (OSError, ArgumentError) as error:
            raise ArgumentError(f"keep faces: {path} cannot be read ({error}), takes {takes}") from error
        faces = [face for face in detector.detect(check_frame(image, name=str(path))) if trusts(face)]
        if len(faces) != 1:
            raise ArgumentError(f"keep faces: {path} shows {len(faces)} faces large enough, takes one face a picture")
        found.append(recognizer.embed(image, faces[0]))
    return np.stack(found)


@dataclass(slots=True)
class _Evidence:
    """What is known of a track: matches and misses in a row, and frames until the next look."""

    matches: int = 0
    misses: int = 0
    wait: int = 0


class KnownPeople:
    """A selection (see mfm_edge.selection) that anonymises everybody but known people.

    known: (N, D) float32 embeddings of length 1. threshold: the least cosine, 0..1, that counts as the same person; a
    recogniser's own threshold is for 0.1 % mistakes, this one should be higher: a mistake shows a face.

    A track stays visible only after `confirm` looks in a row matched, and is looked at again every `again` frames. It
    is anonymised, and has to be confirmed anew, as soon as one look does not match, the detector misses it, its face
    is too small or too turned to be judged, or another face overlaps it: the tracker may then have mistaken them.
    """

    def __init__(
        self,
        known: NDArray[np.float32],
        recognizer: Recognizer,
        *,
        threshold: float = 0.5,
        confirm: int = 3,
        again: int = 5,
    ) -> None:
        if not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
            raise ArgumentError(f"keep threshold: got {threshold!r}, takes a cosine between 0 and 1")
        self._known, self._recognizer, self._threshold = known, recognizer, float(threshold)
        self._confirm, self._again = confirm, again
        self._tracks: dict[int, _Evidence] = {}

    def choose(self, faces: Sequence[TrackedFace], frame: NDArray[np.uint8]) -> tuple[TrackedFace, ...]:
        """See Selection."""
        self._tracks = {face.track: self._tracks.get(face.track, _Evidence()) for face in faces}
        boxes = np.stack([face.face.box for face in faces]) if faces else np.empty((0, 4), np.float32)
        chosen = []
        for index, face in enumerate(faces):
            evidence = self._tracks[face.track]
            touching = overlaps(np.delete(boxes, index, axis=0), face.face.box)
            if face.missed or (touching > 0).any() or not trusts(face.face):
                evidence.matches = evidence.wait = 0
            else:
                self._look(evidence, face.face, frame)
            if evidence.matches < self._confirm:
                chosen.append(face)
        return tuple(chosen)

    def forget(self) -> None:
        """See Selection."""
        self._tracks = {}

    def _look(self, evidence: _Evidence, face: Face, frame: NDArray[np.uint8]) -> None:
        if evidence.wait > 0:
            evidence.wait -= 1
            return
        likeness = float((self._known @ self._recognizer.embed(frame, face)).max())
        if likeness >= self._threshold:
            evidence.matches, evidence.misses = evidence.matches + 1, 0
            settled = evidence.matches >= self._confirm
        else:
            evidence.matches, evidence.misses = 0, evidence.misses + 1
            settled = evidence.misses >= self._confirm  # strangers are looked at less often, too: it costs
        evidence.wait = self._again - 1 if settled else 0
