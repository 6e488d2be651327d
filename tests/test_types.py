"""mfm_edge.types and mfm_edge.errors: what a record takes and says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mfm_edge.errors import ArgumentError, FactorError, FrameError, MfmError, ModelError, RecordError, SourceError
from mfm_edge.types import SLOTS, Face, FaceRecord, Treatment, check_frame


def test_every_error_is_an_mfm_error() -> None:
    for kind in (ArgumentError, FactorError, FrameError, ModelError, RecordError, SourceError):
        assert issubclass(kind, MfmError)
    assert issubclass(ArgumentError, ValueError)


def test_records_hold_read_only_copies_in_the_stated_dtype() -> None:
    box = np.array([1, 2, 3, 4])
    face = Face(box=box, landmarks=np.zeros((5, 2)), score=np.float32(0.5))
    box[0] = 9
    assert face.box.dtype == np.float32
    assert face.box[0] == 1
    assert isinstance(face.score, float)
    with pytest.raises(ValueError, match="read-only"):
        face.box[0] = 3
    record = FaceRecord(matrix=np.eye(3)[:2], box=box, score=1)
    assert record.matrix.dtype == np.float64
    assert record.track is None and record.slot is None
    assert record.treatment is Treatment.SURROGATE


@pytest.mark.parametrize("box", [np.zeros(3), "box", [np.nan] * 4])
def test_bad_records_are_refused_by_name(box: object) -> None:
    with pytest.raises(ArgumentError, match=r"^Face\.box: got"):
        Face(box=box, landmarks=np.zeros((5, 2)), score=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("slot", [-1, SLOTS, "0", 0.5])
def test_a_slot_that_no_key_has_is_refused_by_name(slot: object) -> None:
    with pytest.raises(ArgumentError, match=r"^FaceRecord\.slot: got .*, takes 0 to 15, or None"):
        FaceRecord(matrix=np.eye(3)[:2], box=np.zeros(4), score=1, slot=slot)  # type: ignore[arg-type]


def test_treatment_goes_into_json() -> None:
    assert json.loads(json.dumps(Treatment.COVERED)) == "covered"
    assert str(Treatment("surrogate")) == "surrogate"


def test_check_frame_returns_the_same_object_or_says_what_it_takes() -> None:
    frame = np.zeros((64, 65, 3), np.uint8)
    assert check_frame(frame) is frame
    for bad in (frame[:63], frame[..., :1], frame[..., 0], frame.astype(np.int16), None, [1, 2]):
        with pytest.raises(FrameError, match="image: got .*, takes .*uint8 BGR"):
            check_frame(bad, name="image")
