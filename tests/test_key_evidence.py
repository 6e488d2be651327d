"""What many faces say together, and that it is chance under a wrong key, whatever the faces have in common."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime
from mfm_edge.align import extract
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.key_evidence import SURE, TRUSTED, KeyEvidence, deviations
from mfm_edge.types import CROP_SIZE
from mfm_edge.video import open_source

COUNT = 1400
SMALL = 0.25


def rows(faces: int, towards_key: float, rng: np.random.Generator, alike: float = 0.0) -> NDArray[np.float32]:
    """Evidence of faces, each with so many deviations for the key on average. alike: share of their variance that they
    have in common, as frames of a face at rest."""
    common = rng.standard_normal(COUNT)
    found = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.standard_normal((faces, COUNT))
    found += towards_key / np.sqrt(COUNT)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_one_sure_face_is_enough_and_an_unsure_one_is_not() -> None:
    rng = np.random.default_rng(0)
    for deviation, right in ((2 * SURE, True), (TRUSTED, False)):
        (row,) = rows(1, deviation, rng)
        assert deviations(row) == pytest.approx(deviation, abs=4)
        known = KeyEvidence()
        known.add([row])
        assert known.right is right


def test_faces_too_small_to_tell_tell_together() -> None:
    rng, known, alone = np.random.default_rng(1), KeyEvidence(), list[float]()
    for row in rows(30, 2.0, rng):
        alone.append(deviations(row))
        known.add([row])
    assert np.mean(alone) == pytest.approx(2.0, abs=0.5) and max(alone) < SURE
    assert known.right


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9, 1.0])
def test_a_wrong_key_is_not_known_however_long_a_face_stays(alike: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        known = KeyEvidence()
        for row in rows(60, 0.0, rng, alike):
            known.add([row])
        assert not known.right


def test_what_is_known_stays_known() -> None:
    rng, known = np.random.default_rng(3), KeyEvidence()
    known.add([])
    assert not known.right
    known.add(list(rows(1, 3 * SURE, rng)))
    known.add(list(rows(9, -2 * SURE, rng)))
    assert known.right


def test_small_faces_of_a_coded_video_come_back_for_who_has_the_factors_alone() -> None:
    """Real faces of about 35 px, in frames as JPEG leaves them; by themselves, too, to compare."""
    app = MfmRuntime()
    with open_source(CLIP) as source:
        frames = [cv2.resize(one.image, None, fx=SMALL, fy=SMALL, interpolation=cv2.INTER_AREA) for one in source][::6]
    with app.open_stream(Factors("right"), salt=b"any salt") as stream:
        protected = [stream.anonymize(frame) for frame in frames]
    coded = [cv2.imencode(".jpg", one.frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1] for one in protected]

    def left(password: str, *, together: bool) -> NDArray[np.float64]:
        """Of the difference that protecting made, share by small face."""
        shares = []
        with app.open_stream(Factors(password), salt=b"any salt") as stream:
            restore = stream.restore if together else stream.restore_found_again
            for frame, done, file in zip(frames, protected, coded, strict=True):
                restored = restore(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8), done.faces).frame
                for face in (face for face in done.faces if CROP_SIZE / np.linalg.norm(face.matrix[0, :2]) < 50):
                    x, y, r = (extract(one, face.matrix)[40:110, 30:98].astype(float)
                               for one in (frame, done.frame, restored))  # fmt: skip
                    shares.append(np.abs(r - x).mean() / np.abs(y - x).mean())
        assert len(shares) > 10
        return np.array(shares)

    assert left("right", together=True).max() < 0.5
    assert np.median(left("right", together=False)) > 0.9
    # A wrong key shows somebody else, now and then nearer to the original: what faces say together changes nothing.
    wrong = left("wrong", together=True)
    assert np.median(wrong) > 0.9 and wrong.min() > 0.5
    np.testing.assert_array_equal(wrong, left("wrong", together=False))
