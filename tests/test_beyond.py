"""mfm_edge.beyond: faces that the frame's edge cuts are restored with what their records hold, and only so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime
from mfm_edge.align import extract
from mfm_edge.beyond import MAX_BYTES, beyond, complete, pack, unpack
from mfm_edge.errors import ArgumentError
from mfm_edge.types import FaceRecord

PHOTO = Path(__file__).parents[2] / "shared" / "data" / "photos" / "face-detection__obama.jpg"


def test_no_pixel_of_a_crop_within_the_frame_is_lost() -> None:
    matrix = np.array([[0.5, 0.1, -30.0], [-0.1, 0.5, -10.0]])
    assert not beyond(matrix, (700, 700)).any()
    assert pack(np.zeros((128, 128, 3), np.uint8), matrix, (700, 700)) is None


@pytest.mark.parametrize(("turn", "side"), [(0, 300), (20, 300), (-75, 220), (180, 160)])
def test_lost_is_what_the_border_goes_on_into(turn: float, side: int) -> None:
    """Whatever the frame holds, its change leaves no trace in the crop where nothing is lost, and all of it elsewhere
    but at the very edge."""
    angle = np.radians(turn)
    linear = 0.6 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, 64 - linear @ (side - 40, 60)])
    lost = beyond(matrix, (side, side))
    assert 0.1 < lost.mean() < 0.9
    frame = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    framed = cv2.copyMakeBorder(frame, 300, 300, 300, 300, cv2.BORDER_CONSTANT, value=(0, 255, 0))
    shifted = matrix.copy()
    shifted[:, 2] -= matrix[:, :2] @ (300, 300)
    differs = np.abs(extract(frame, matrix).astype(int) - extract(framed, shifted)).max(-1) > 12
    assert not (differs & ~lost).any()


def test_what_is_packed_comes_back() -> None:
    surrogate = cv2.resize(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8), (128, 128))
    matrix, size = np.array([[1.0, 0, -50], [0, 1, -50]]), (300, 142)
    assert not beyond(matrix, size)[:, :90].any() and beyond(matrix, size)[:, 90:].all()
    packed = pack(surrogate, matrix, size)
    crop = complete(np.zeros_like(surrogate), packed, matrix, size)
    assert not crop[:, :90].any()
    assert np.abs(crop[:, 91:].astype(int) - surrogate[:, 91:]).mean() < 2
    assert complete(surrogate, None, matrix, size) is surrogate


def huge() -> bytes:
    return cv2.imencode(".jpg", np.zeros((600, 600, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 1])[1].tobytes()


@pytest.mark.parametrize("packed", [b"", b"x" * 20, b"\xff\xd8", huge(), b"\xff\xd8" * MAX_BYTES, "text", None])
def test_anything_else_is_refused(packed: bytes) -> None:
    with pytest.raises(ArgumentError, match=r"beyond|picture"):
        unpack(packed)


@pytest.mark.usefixtures("first_slot")  # one key for both: they are compared
def test_a_face_cut_by_the_edge_is_restored() -> None:
    if not PHOTO.exists():
        pytest.skip("needs ../shared/data/photos")
    runtime, photo = MfmRuntime(), cv2.imread(str(PHOTO))

    def errors(password: str) -> tuple[float, float, float]:
        """Restored whole, cut, and cut without what the record holds; levels, where all three see the face."""
        factors = Factors(password)
        whole = runtime.anonymize(photo, factors)
        x0, _, x1, _ = whole.faces[0].box
        cut = np.ascontiguousarray(photo[:, : int(0.2 * x0 + 0.8 * x1)])
        protected = runtime.anonymize(cut, factors)
        (face,) = protected.faces
        assert face.beyond is not None
        seen = ~beyond(face.matrix, (cut.shape[0], cut.shape[1]))
        seen[:28] = seen[124:] = seen[:, :16] = seen[:, 112:] = False

        def error(protected: NDArray[np.uint8], record: FaceRecord) -> float:
            restored = runtime.restore(protected, factors, faces=[record]).frame
            difference = extract(restored, face.matrix)[seen].astype(float) - extract(photo, face.matrix)[seen]
            return float(np.sqrt(np.mean(difference**2)))

        kept = error(protected.frame, face)
        return error(whole.frame, whole.faces[0]), kept, error(protected.frame, replace(face, beyond=None))

    uncut, kept, lost = np.array([errors(password) for password in ("edge", "brim", "rand", "orlo", "bord")]).T
    assert np.median(kept / uncut) < 1.15 and (kept < 1.5 * uncut).all()
    assert (lost > 1.5 * kept).all()
