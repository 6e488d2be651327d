"""The demo's measurements and picture, on videos whose answer is known; the clip itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge.demo.__main__ import CLIP, main
from mfm_edge.demo.sheet import contact_sheet, face_psnr
from mfm_edge.factors import KeyDerivation
from mfm_edge.record import FrameRecord, RecordHeader, RecordWriter
from mfm_edge.types import FaceRecord
from mfm_edge.video import FileSink, open_source

HEADER = RecordHeader(salt=bytes(16), key_derivation=KeyDerivation(), model_id="m", width=96, height=64)


def test_clip_is_small_and_ships() -> None:
    assert CLIP.stat().st_size < 1_000_000
    with open_source(CLIP) as source:
        assert (source.size, source.frame_rate, source.frame_count) == ((640, 360), 25.0, 175)
        assert len(list(source)) == 175
    assert "scikit-image" in CLIP.with_name("README.md").read_text()


def test_face_psnr_looks_at_faces_only(tmp_path: Path) -> None:
    box = [10.0, 10.0, 40.0, 40.0]
    with RecordWriter(tmp_path / "s.jsonl", HEADER) as record:
        for index in range(3):
            face = FaceRecord(matrix=[[1, 0, 0], [0, 1, 0]], box=box, score=1.0)
            record.write(FrameRecord(index=index, faces=(face,)))
    for name, inside, outside in (("a", 100, 100), ("b", 110, 100), ("c", 100, 200)):
        image = np.full((64, 96, 3), outside, np.uint8)
        image[4:46, 4:46] = inside  # wider than the box, so that the codec's blur at the edge stays outside
        with FileSink(tmp_path / f"{name}.mp4", size=(96, 64), crf=1) as sink:
            for index in range(3):
                sink.write(image, index / 25)
    assert face_psnr(tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "s.jsonl") == pytest.approx(28.1, abs=1.0)
    assert face_psnr(tmp_path / "a.mp4", tmp_path / "c.mp4", tmp_path / "s.jsonl") > 40


def test_contact_sheet_has_a_titled_row_a_video(make_video: Callable[..., Path], tmp_path: Path) -> None:
    video = make_video(count=20, size=(96, 64))
    contact_sheet({"one": video, "two": video}, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * (26 + 213), 4 * 320, 3)


def test_contact_sheet_shows_the_largest_face_close_up(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "s.jsonl", HEADER) as record:
        for index in range(8):
            boxes = ([2.0, 2.0, 8.0, 8.0], [40.0, 20.0, 60.0, 40.0])
            faces = tuple(FaceRecord(matrix=[[1, 0, 0], [0, 1, 0]], box=box, score=1.0) for box in boxes)
            record.write(FrameRecord(index=index, faces=faces))
    image = np.zeros((64, 96, 3), np.uint8)
    image[20:40, 40:60] = 255
    with FileSink(tmp_path / "v.mp4", size=(96, 64), crf=1) as sink:
        for index in range(8):
            sink.write(image, index / 25)
    contact_sheet({"one": tmp_path / "v.mp4"}, tmp_path / "sheet.png", sidecar=tmp_path / "s.jsonl")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (26 + 213, 4 * (320 + 213), 3)
    close_up = sheet[26:, 320 : 320 + 213]
    assert close_up[107, 106].min() > 240 and close_up[5, 5].max() < 15
    assert 0.3 < (close_up > 128).mean() < 0.6  # a box two thirds as wide as the square


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(tmp_path / "absent.mp4"), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
