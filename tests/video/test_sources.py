"""Recordings: every frame with its time, and what truncated, corrupt and foreign files are told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.video import FileSource, open_source
from mfm_edge.video.sources import public_name

CLIPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "videos"


def test_reads_every_frame_in_order(make_video: Callable[..., Path]) -> None:
    path = make_video(count=30)
    with open_source(path) as source:
        frames = list(source)
    assert (source.size, source.frame_rate, source.frame_count, source.live) == ((96, 64), 25.0, 30, False)
    assert [round(frame.time, 4) for frame in frames] == [round(index / 25, 4) for index in range(30)]
    reader = cv2.VideoCapture(str(path))
    for frame in frames:
        assert frame.image.shape == (64, 96, 3) and frame.image.dtype == np.uint8
        assert cv2.absdiff(frame.image, reader.read()[1]).max() <= 4


def test_variable_frame_rate_keeps_its_times(make_video: Callable[..., Path]) -> None:
    times = [Fraction(n, 1000) for n in (0, 40, 50, 200, 201, 900)]
    with open_source(str(make_video(count=6, times=times))) as source:
        assert [round(frame.time, 3) for frame in source] == [float(time) for time in times]


def test_turns_phone_videos_upright(make_video: Callable[..., Path]) -> None:
    path = make_video(count=2)
    content = bytearray(path.read_bytes())
    one = 1 << 16
    for matrix in ((0, one, 0, -one, 0, 0), (0, -one, 0, one, 0, 0), (-one, 0, 0, 0, -one, 0)):
        at = content.index(b"tkhd") + 44
        content[at : at + 24] = struct.pack(">6i", *matrix)
        path.write_bytes(content)
        expected = cv2.VideoCapture(str(path)).read()[1]  # OpenCV turns by itself
        with open_source(path) as source:
            first = next(iter(source)).image
        assert source.size == (first.shape[1], first.shape[0])
        assert first.shape == expected.shape
        assert cv2.absdiff(first, expected).max() <= 4


def test_truncated_file_gives_what_is_there_then_says_so(make_video: Callable[..., Path]) -> None:
    path = make_video(count=60, movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    count = 0
    with open_source(path) as source, pytest.raises(SourceError, match=r"truncated, ends after \d+ of 60 frames"):
        for _ in source:
            count += 1
    assert 10 < count < 60


def test_corrupt_middle_loses_frames_not_the_rest(make_video: Callable[..., Path]) -> None:
    path = make_video(count=60, size=(192, 128))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(np.random.default_rng(0).integers(0, 256, 400, dtype=np.uint8))
    path.write_bytes(content)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) + source.corrupt >= 55
    assert all(later.time > earlier.time for earlier, later in pairwise(frames))


def test_file_cut_before_its_index_is_refused(make_video: Callable[..., Path]) -> None:
    path = make_video()
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source(path)


@pytest.mark.parametrize("content", [b"", b"not a video at all\n" * 100, bytes(5000)])
def test_not_a_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"source {path}: "):
        open_source(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import wave

    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 800, "NONE", ""))
        file.writeframes(bytes(1600))
    with pytest.raises(SourceError, match="holds no video stream"):
        open_source(path)


def test_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_source(tmp_path / "absent.mp4")
    with pytest.raises(SourceError, match="it is a folder"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"camera 99: cannot be opened"):
        open_source("99")
    for bad in (1.5, None, "", True):
        with pytest.raises(ArgumentError, match="takes a camera index, a path or a URL"):
            open_source(bad)
    with pytest.raises(ArgumentError, match="camera index -1"):
        open_source(-1)


def test_file_whose_name_is_a_number(make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("in.mp4", count=2)
    path.rename(path.with_name("7"))
    monkeypatch.chdir(path.parent)
    with open_source("7") as source:
        assert isinstance(source, FileSource)


def test_credentials_stay_out_of_messages() -> None:
    assert public_name("rtsp://user:secret@host:554/a") == "rtsp://host:554/a"
    with pytest.raises(SourceError) as caught:
        open_source("http://user:secret@127.0.0.1:9/stream")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in CLIPS.glob("*.mp4")) or ["none"])
def test_real_clips_are_complete(name: str) -> None:
    if not CLIPS.is_dir():
        pytest.skip("needs ../shared/data/videos")
    with open_source(CLIPS / name) as source:
        times = [frame.time for frame in source]
    assert len(times) == source.frame_count
    assert times == sorted(set(times))
    assert source.audio is not None
