"""Files written: colours, times, sound, odd sizes, and what is left when the writer is killed or the disk is full."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, FrameError, SourceError
from mfm_edge.video import FileSink, open_source


def picture(index: int, size: tuple[int, int] = (96, 64)) -> NDArray[np.uint8]:
    width, height = size
    x = np.linspace(0, 6, width)[None, :] + index * 0.1
    y = np.linspace(0, 6, height)[:, None]
    planes = [np.sin(x) + np.cos(y), np.cos(x + 1) + np.sin(y), np.sin(x + 2) - np.cos(y)]
    return np.stack([(plane * 50 + 128) for plane in planes], axis=-1).astype(np.uint8)


def audio_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
@pytest.mark.parametrize("size", [(96, 64), (1280, 720)])
def test_round_trip_keeps_colours_and_times(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    times = [0.0, 0.04, 0.05, 0.4, 1.0]
    with FileSink(tmp_path / name, size=size, frame_rate=25) as sink:
        for index, time in enumerate(times):
            sink.write(picture(index, size), time)
    assert sink.notices == []
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert [round(frame.time, 3) for frame in frames] == times
    reader = cv2.VideoCapture(str(tmp_path / name))
    for index, frame in enumerate(frames):
        wanted = picture(index, size).astype(float)
        assert np.abs(frame.image - wanted).mean() < 3
        assert np.abs((frame.image - wanted).mean(axis=(0, 1))).max() < 1
        # A reader that ignores colour tags sees the same colours: the mean of each channel stays where it was.
        shift = np.abs((reader.read()[1] - wanted).mean(axis=(0, 1)))
        assert shift.max() < 2  # its own converter truncates


def test_default_quality_is_worth_its_bits(tmp_path: Path) -> None:
    with FileSink(tmp_path / "a.mp4", size=(320, 240), frame_rate=25) as sink:
        for index in range(10):
            sink.write(picture(index, (320, 240)), index / 25)
    with open_source(tmp_path / "a.mp4") as source:
        errors = [np.square(f.image - picture(i, (320, 240)).astype(float)).mean() for i, f in enumerate(source)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 40


@pytest.mark.parametrize("size", [(97, 65), (96, 65), (97, 64)])
def test_odd_sizes_get_a_repeated_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    with FileSink(tmp_path / "a.mp4", size=size) as sink:
        sink.write(picture(0, size), 0.0)
    with open_source(tmp_path / "a.mp4") as source:
        image = next(iter(source)).image
    width, height = size
    assert image.shape[:2] == (height + height % 2, width + width % 2)
    assert np.abs(image[:height, :width] - picture(0, size).astype(float)).mean() < 3


def test_times_that_stand_still_are_spread(tmp_path: Path) -> None:
    with FileSink(tmp_path / "a.mp4", size=(96, 64)) as sink:
        for index in range(3):
            sink.write(picture(index), 0.5)
    with open_source(tmp_path / "a.mp4") as source:
        assert len(list(source)) == 3


def test_audio_is_copied_bit_by_bit(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(count=50, audio=True)
    with open_source(path) as source:
        assert source.audio == path
        with FileSink(tmp_path / "out.mp4", size=source.size, frame_rate=25, audio_from=source.audio) as sink:
            for frame in source:
                sink.write(frame.image, frame.time)
            sink.finish_audio()
    assert sink.notices == []
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(path)


def test_audio_stops_with_the_pictures_when_cut_short(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(count=50, audio=True)
    with FileSink(tmp_path / "out.mp4", size=(96, 64), frame_rate=25, audio_from=path) as sink:
        for index in range(10):
            sink.write(picture(index), index / 25)
    assert audio_packets(tmp_path / "out.mp4")[-1][0] <= 0.36 + 0.1


def test_audio_that_does_not_fit_is_announced(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(count=5)
    with FileSink(tmp_path / "out.mp4", size=(96, 64), audio_from=path) as sink:
        sink.write(picture(0), 0.0)
    assert len(sink.notices) == 1 and "holds no audio stream" in sink.notices[0]


WRITER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mfm_edge.video import FileSink
sink = FileSink(sys.argv[1], size=(96, 64), frame_rate=25, audio_from=Path(sys.argv[2]))
for index in range(40):
    sink.write(np.full((64, 96, 3), index * 5, np.uint8), index / 25)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_killed_writer_leaves_a_file_that_plays(make_video: Callable[..., Path], tmp_path: Path, name: str) -> None:
    path, sound = tmp_path / name, make_video(count=50, audio=True)
    command = [sys.executable, "-c", WRITER, str(path), str(sound)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) >= 39  # at most the frame at hand is lost
    for index, frame in enumerate(frames):
        assert abs(frame.image.mean() - index * 5) <= 3
        assert abs(frame.time - index / 25) < 0.0015
    assert audio_packets(path) == audio_packets(sound)[: len(audio_packets(path))]
    assert audio_packets(path)[-1][0] > 1.3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.symlink_to("/dev/full")
    with pytest.raises(SourceError, match=r"out\.mp4: cannot be written"), FileSink(path, size=(96, 64)) as sink:
        for index in range(200):
            sink.write(picture(index), index / 25)


def test_encoder_missing_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with FileSink(tmp_path / "out.mp4", size=(97, 64), frame_rate=30, pixel_aspect=Fraction(1)) as sink:
        for index in range(5):
            sink.write(picture(index, (97, 64)), index / 30)
    assert len(sink.notices) == 1 and "mp4v" in sink.notices[0]
    with open_source(tmp_path / "out.mp4") as source:
        assert len(list(source)) == 5


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="output: got 'out.gif', takes a file name ending in .mp4"):
        FileSink(tmp_path / "out.gif", size=(96, 64))
    with pytest.raises(ArgumentError, match="crf: got 60"):
        FileSink(tmp_path / "out.mp4", size=(96, 64), crf=60)
    with pytest.raises(SourceError, match="absent/out.mp4: cannot be written"):
        FileSink(tmp_path / "absent" / "out.mp4", size=(96, 64))
    with FileSink(tmp_path / "out.mp4", size=(96, 64)) as sink:
        with pytest.raises(ArgumentError, match="image: got 64x96 px, takes 96x64"):
            sink.write(np.zeros((96, 64, 3), np.uint8), 0.0)
        with pytest.raises(FrameError, match="image: got float64"):
            sink.write(np.zeros((64, 96, 3)), 0.0)
        sink.write(picture(0), 0.0)
    sink.close()
