"""mfm_edge.detect.mesh: landmarks that do not depend on how a detector happened to see a face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.align import align, locate
from mfm_edge.beyond import beyond
from mfm_edge.detect import MeshDetector, YuNetDetector
from mfm_edge.detect.mesh import FaceMesh
from mfm_edge.errors import FrameError
from mfm_edge.types import Face

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "photos"
NAMES = ("face-detection__obama.jpg", "face__two_people.jpg", "insightface__t1.jpg", "facenet-pytorch__multiface.jpg")


class Knows:
    """A detector that is told what it finds."""

    def __init__(self, *faces: Face) -> None:
        self.faces = faces

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        return self.faces


def found() -> list[tuple[NDArray[np.uint8], Face]]:
    if not PHOTOS.exists():
        pytest.skip("needs ../shared/data/photos")
    detector = YuNetDetector(threads=1)
    photos = [cv2.imread(str(PHOTOS / name)) for name in NAMES]
    return [(photo, face) for photo in photos for face in detector.detect(photo) if whole(photo, face)]


def whole(photo: NDArray[np.uint8], face: Face) -> bool:
    """Whether all of it is in the photo."""
    return not beyond(locate(face)[0], (photo.shape[0], photo.shape[1]))[28:124, 16:112].any()


def apart(face: Face) -> float:
    return float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))


def test_a_detectors_error_is_taken_off() -> None:
    """Of landmarks that are off by a tenth of the distance between the eyes, a third of it is left at most."""
    rng, before, after = np.random.default_rng(0), [], []
    for photo, face in found():
        exact = MeshDetector(Knows(face)).detect(photo)[0]
        noise = (0.06 * apart(face) * rng.standard_normal((5, 2))).astype(np.float32)
        seen = replace(face, landmarks=face.landmarks + noise + 0.04 * apart(face))
        again = MeshDetector(Knows(seen)).detect(photo)[0]
        assert np.array_equal(again.box, face.box) and again.score == face.score
        before.append(np.linalg.norm(seen.landmarks - face.landmarks, axis=1).mean() / apart(face))
        after.append(np.linalg.norm(again.landmarks - exact.landmarks, axis=1).mean() / apart(face))
    assert len(after) > 10 and np.median(after) < 0.35 * np.median(before) < 0.04


def test_eyes_nose_and_mouth_are_where_a_detector_has_them_on_average() -> None:
    """Faces are aligned as they were labelled, whoever says where their landmarks are."""
    away = []
    for photo, face in found():
        aligned = align(photo, face)
        away.append(FaceMesh().landmarks(aligned.crop[None], aligned.landmarks[None])[0] - aligned.landmarks)
    assert np.abs(np.median(away, axis=0)).max() < 2.5 and 0.5 < np.abs(away).mean() < 3


def test_what_is_far_from_a_detectors_is_not_believed() -> None:
    """The mesh sees a face in everything, in noise, too."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    landmarks = np.array([(120, 130), (180, 130), (150, 165), (128, 195), (172, 195)], np.float32)
    face = Face(box=(90, 90, 210, 230), landmarks=landmarks, score=0.9)
    (kept,) = MeshDetector(Knows(face)).detect(noise)
    assert np.array_equal(kept.landmarks, landmarks)


def test_what_is_no_number_is_not_believed_either(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, known = FaceMesh(), np.full((2, 5, 2), 60, np.float32)
    broken: Any = type("Broken", (), {"run": lambda *_: [np.full((2, 5, 2), np.nan, np.float32)]})()
    monkeypatch.setattr(mesh, "_session", broken)
    assert np.array_equal(mesh.landmarks(np.zeros((2, 128, 128, 3), np.uint8), known), known)


def test_a_face_that_the_frames_edge_cuts_is_left_to_the_detector() -> None:
    photo, face = found()[0]
    cut = np.ascontiguousarray(photo[:, : int(face.landmarks[1, 0] + 0.1 * apart(face))])
    (kept,) = MeshDetector(Knows(face)).detect(cut)
    assert np.array_equal(kept.landmarks, face.landmarks)
    (whole,) = MeshDetector(Knows(face)).detect(photo)
    assert not np.array_equal(whole.landmarks, face.landmarks)


def test_landmarks_that_span_no_face_and_no_faces_at_all_stay() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    nowhere = Face(box=(10, 10, 20, 20), landmarks=np.full((5, 2), 15, np.float32), score=0.5)
    (kept,) = MeshDetector(Knows(nowhere)).detect(frame)
    assert np.array_equal(kept.landmarks, nowhere.landmarks)
    assert MeshDetector(Knows()).detect(frame) == ()


def test_several_crops_are_told_as_each_alone() -> None:
    crops = [align(photo, face) for photo, face in found()[:5]]
    stacked = np.stack([one.crop for one in crops]), np.stack([one.landmarks for one in crops])
    together = FaceMesh().landmarks(*stacked)
    for row, one in zip(together, crops, strict=True):
        np.testing.assert_allclose(FaceMesh().landmarks(one.crop[None], one.landmarks[None])[0], row, atol=1e-3)


def test_another_kind_of_frame_is_refused() -> None:
    with pytest.raises(FrameError):
        MeshDetector(Knows()).detect(np.zeros((100, 100), np.uint8))
