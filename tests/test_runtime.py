from dataclasses import replace

import cv2
import numpy as np
import pytest

from mfm_edge import Factors, MfmRuntime
from mfm_edge.errors import ArgumentError, FactorError, FrameError, MfmError
from mfm_edge.types import Face, FaceRecord, Treatment

RIGHT = Factors("correct horse", smiling=True)
WRONG = Factors("correct hors3", smiling=True)


class FixedDetector:
    """Reports the faces it was given: what the runtime does must not depend on a real detector here."""

    def __init__(self, *faces: Face) -> None:
        self.faces = faces

    def detect(self, frame):
        return self.faces


class BrokenDetector:
    def detect(self, frame):
        raise RuntimeError("no detector today")


TEMPLATE = np.array([(49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)], np.float32)


def face(scale=1.0, shift=(0.0, 0.0), score=0.9) -> Face:
    points = TEMPLATE * scale + np.array(shift, np.float32)
    low, high = points.min(0), points.max(0)
    return Face(box=np.concatenate([low - 20 * scale, high + 20 * scale]), landmarks=points, score=score)


def picture(height=240, width=320, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 220, (height // 16, width // 16, 3))
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def error(a, b):
    return float(np.abs(a.astype(float) - b).mean())


def test_no_face_leaves_the_frame_as_it_is():
    runtime = MfmRuntime(detector=FixedDetector())
    frame = picture()
    protected = runtime.anonymize(frame, RIGHT)
    assert protected.faces == ()
    np.testing.assert_array_equal(protected.frame, frame)
    assert not np.shares_memory(protected.frame, frame)


def test_right_factors_bring_back_more_than_wrong_ones():
    runtime = MfmRuntime(detector=FixedDetector(face(1.5, (20, 5))))
    frame = picture()
    kept = frame.copy()
    protected = runtime.anonymize(frame, RIGHT)
    np.testing.assert_array_equal(frame, kept)  # the caller's frame is never written to
    restored = runtime.restore(protected.frame, RIGHT, faces=protected.faces).frame
    wrong = runtime.restore(protected.frame, WRONG, faces=protected.faces).frame
    assert error(protected.frame, frame) > 0.3
    assert error(restored, frame) < error(wrong, frame)


def test_restoring_uses_the_landmarks_of_the_original():
    """A turned face: its record says where eyes, nose and mouth are, and without that it comes back worse."""
    straight = face(1.5, (20, 5))
    nose_to_the_side = np.array([[0, 0], [0, 0], [18, 4], [0, 0], [0, 0]])
    turned = replace(straight, landmarks=straight.landmarks + nose_to_the_side)
    runtime = MfmRuntime(detector=FixedDetector(turned))
    frame = picture()
    protected = runtime.anonymize(frame, RIGHT)
    (record,) = protected.faces
    nose = record.matrix[:, :2] @ turned.landmarks[2] + record.matrix[:, 2]
    np.testing.assert_allclose(record.landmarks[2], nose, atol=0.01)
    restored = runtime.restore(protected.frame, RIGHT, faces=protected.faces).frame
    without = runtime.restore(protected.frame, RIGHT, faces=[replace(record, landmarks=None)]).frame
    assert error(restored, frame) < 0.9 * error(without, frame)


def test_stream_and_its_salt_restore(tmp_path):
    runtime = MfmRuntime(detector=FixedDetector(face(1.2, (30, 10))))
    frame = picture()
    with runtime.open_stream(RIGHT) as stream:
        protected = stream.anonymize(frame)
        salt = stream.salt
    with runtime.open_stream(RIGHT, salt=salt) as same, runtime.open_stream(RIGHT) as other:
        right = same.restore(protected.frame, protected.faces).frame
        wrong = other.restore(protected.frame, protected.faces).frame
    assert error(right, frame) < error(wrong, frame)
    assert protected.faces[0].track == 0
    with pytest.raises(MfmError, match="after close"):
        stream.anonymize(frame)


def test_small_and_uncertain_faces_are_covered_not_modified():
    for bad in (face(0.15, (100, 100)), face(1.0, (60, 60), score=0.05)):
        protected = MfmRuntime(detector=FixedDetector(bad)).anonymize(picture(), RIGHT)
        assert [record.treatment for record in protected.faces] == [Treatment.COVERED]
        x0, y0, x1, y1 = bad.box.astype(int)
        assert (protected.frame[y0:y1, x0:x1] != picture()[y0:y1, x0:x1]).mean() > 0.5


def test_covered_faces_are_left_alone_when_restoring():
    runtime = MfmRuntime(detector=FixedDetector(face(0.15, (100, 100))))
    protected = runtime.anonymize(picture(), RIGHT)
    restored = runtime.restore(protected.frame, RIGHT, faces=protected.faces)
    np.testing.assert_array_equal(restored.frame, protected.frame)


def test_landmarks_that_span_no_face_are_covered():
    """A detector may return anything; the face must still not leak."""
    points = np.full((5, 2), 120, np.float32)
    broken = Face(box=np.array([90, 90, 150, 150], np.float32), landmarks=points, score=0.99)
    protected = MfmRuntime(detector=FixedDetector(broken)).anonymize(picture(), RIGHT)
    assert (protected.frame[95:145, 95:145] != picture()[95:145, 95:145]).mean() > 0.5
    assert protected.faces[0].treatment is Treatment.COVERED


def test_a_stage_that_fails_covers_the_whole_frame():
    with MfmRuntime(detector=BrokenDetector()).open_stream(RIGHT) as stream:
        protected = stream.anonymize(picture())
    assert protected.incidents == 1
    assert (protected.frame != picture()).mean() > 0.8


def test_many_faces_at_once_and_over_the_border():
    faces = [face(0.5, (30 * i - 20, 20 * (i % 5) - 15)) for i in range(11)]
    protected = MfmRuntime(detector=FixedDetector(*faces)).anonymize(picture(), RIGHT)
    assert len(protected.faces) == 11


@pytest.mark.parametrize(
    "frame",
    [None, np.zeros((100, 100), np.uint8), np.zeros((100, 100, 3), np.float32), np.zeros((63, 100, 3), np.uint8)],
)
def test_bad_frames_are_refused_by_name(frame):
    runtime = MfmRuntime(detector=FixedDetector())
    with pytest.raises(FrameError, match="frame"):
        runtime.anonymize(frame, RIGHT)
    with pytest.raises(FrameError, match="frame"):
        runtime.restore(frame, RIGHT)


def test_bad_factors_and_faces_are_refused_by_name():
    runtime = MfmRuntime(detector=FixedDetector())
    with pytest.raises(FactorError, match="factors"):
        runtime.anonymize(picture(), "password")
    with pytest.raises(ArgumentError, match="faces"):
        runtime.restore(picture(), RIGHT, faces=["no record"])


def test_smallest_frame():
    MfmRuntime().anonymize(np.zeros((64, 64, 3), np.uint8), RIGHT)


def test_without_records_faces_are_found_again_nearly_where_they_were():
    runtime = MfmRuntime(detector=FixedDetector(face(1.5, (20, 5))), providers=["CPU"])
    off = []
    for factors in (RIGHT, *map(Factors, ("oak", "elm", "ash", "fir", "yew", "box", "may", "bay"))):
        protected = runtime.anonymize(picture(), factors)
        (known,) = protected.faces
        restored = runtime.restore(protected.frame, factors)
        (found,) = restored.faces
        assert isinstance(found, FaceRecord) and found.slot == known.slot
        off.append(np.abs(found.matrix - known.matrix).max(0))
        wrong = runtime.restore(protected.frame, WRONG)
        assert wrong.faces[0].slot == 0 and error(restored.frame, picture()) < error(wrong.frame, picture())
    linear, shift = np.array(off)[:, :2], np.array(off)[:, 2]  # crop px; a key may draw what its mark looks like
    assert linear.max() < 0.01 and np.median(shift) < 0.6 and shift.max() < 1.2
