"""The command mfm-edge: several inputs, events, configuration, pictures, pipes, and what the other commands say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mfm_edge.cli import job
from mfm_edge.cli.main import main
from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.factors import Factors
from mfm_edge.video import open_source


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch, fake_runtime: Any, tmp_path: Path) -> Any:
    monkeypatch.setattr(job, "MfmRuntime", lambda **_options: fake_runtime)
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    monkeypatch.chdir(tmp_path)
    return fake_runtime


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as exit_:  # argparse
        return int(exit_.code or 0)


def count(path: str | Path) -> int:
    with open_source(Path(path)) as source:
        return len(list(source))


def test_several_inputs_into_a_folder_and_a_failed_one_stops_nothing(
    make_video: Callable[..., Path], capsys: Any
) -> None:
    make_video("a.mp4", count=3)
    make_video("b.mp4", count=4)
    assert run("anonymize", "a.mp4", "absent.mp4", "b.mp4", "-o", "out") == 3
    assert (count("out/a_anonymized.mp4"), count("out/b_anonymized.mp4")) == (3, 4)
    assert Path("out/b_anonymized.mp4.mfm.jsonl").is_file()
    assert "mfm-edge: error: source absent.mp4: no such file" in capsys.readouterr().err
    assert run("anonymize", "absent.mp4", "gone.mp4") == 2
    assert run("anonymize", "a.mp4", "b.mp4", "--sidecar", "one") == 2


def test_json_events(make_video: Callable[..., Path], capsys: Any) -> None:
    make_video("a.mp4", count=3)
    assert run("anonymize", "a.mp4", "absent.mp4", "--json") == 3
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["start", "done", "error"]
    assert events[0]["size"] == [96, 64] and events[0]["output"] == "a_anonymized.mp4"
    assert events[1]["frames"] == 3 and events[1]["stopped"] is False
    assert "correct horse" not in json.dumps(events)


def test_configuration(make_video: Callable[..., Path], runtime: Any, capsys: Any) -> None:
    make_video("a.mp4", count=2)
    Path("c.toml").write_text('hair = "blond"\nbeard = false\noverwrite = true\n[anonymize]\nsmiling = true\n')
    assert run("anonymize", "a.mp4", "--config", "c.toml", "--hair", "black") == 0
    assert list(runtime.locked.values()) == [Factors("correct horse", hair="black", beard=False, smiling=True)]
    for content, words in (
        ('password = "x"', "password is refused"),
        ("colour = 1", "got unknown 'colour'"),
        ("crf = true", "crf: got bool, takes a text or number"),
        ("[other]\ncrf = 1", "unknown table [other]"),
        ("crf = ", "is not TOML"),
    ):
        Path("bad.toml").write_text(content)
        assert run("anonymize", "a.mp4", "--config", "bad.toml") == 2
        assert words in capsys.readouterr().err
    Path("only.toml").write_text("side_by_side = true\n")  # known to another command: passed over
    assert run("anonymize", "a.mp4", "--config", "only.toml", "--overwrite") == 0


def test_picture_folder_there_and_back(capsys: Any) -> None:
    Path("frames").mkdir()
    for index in (10, 2, 1):
        cv2.imwrite(f"frames/p{index}.png", np.full((64, 80, 3), 10 * index, np.uint8))
    assert run("anonymize", "frames") == 0
    assert sorted(path.name for path in Path("frames_anonymized").iterdir()) == ["p1.png", "p10.png", "p2.png"]
    assert cv2.imread("frames_anonymized/p10.png")[0, 0, 0] == 155
    assert run("anonymize", "frames") == 2  # it holds pictures already
    assert run("restore", "frames_anonymized") == 0
    assert cv2.imread("frames_restored/p2.png")[0, 0, 0] == 20
    cv2.imwrite("frames/p3.png", np.zeros((90, 80, 3), np.uint8))
    assert run("anonymize", "frames", "--overwrite") == 2
    assert "p3.png has 80x90 px, takes pictures of 80x64 px" in capsys.readouterr().err


def test_single_pictures_of_any_size() -> None:
    for name, height in (("a.jpg", 70), ("b.png", 90)):
        cv2.imwrite(name, np.full((height, 80, 3), 50, np.uint8))
    assert run("anonymize", "a.jpg", "b.png") == 0
    assert cv2.imread("b_anonymized.png").shape == (90, 80, 3)
    assert run("restore", "b_anonymized.png") == 0
    assert (cv2.imread("b_restored.png") == 50).all()


def test_side_by_side_and_wrong_password(make_video: Callable[..., Path]) -> None:
    make_video("a.mp4", count=3)
    assert run("anonymize", "a.mp4") == 0
    assert run("restore", "a_anonymized.mp4", "--side-by-side") == 0
    with open_source(Path("a_side_by_side.mp4")) as source:
        frames = [frame.image.astype(int) for frame in source]
    assert len(frames) == 3 and frames[0].shape == (90, 3 * 96, 3)
    protected, restored, wrong = (frames[1][26:, x : x + 96] for x in (0, 96, 192))
    assert np.abs(protected - wrong).mean() < 8 < np.abs(protected - restored).mean()
    assert run("restore", "a_anonymized.mp4", "--side-by-side", "-o", "b_restored.mp4") == 0


def pipe_with(content: bytes) -> int:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    threading.Thread(target=write, daemon=True).start()
    return reading


def test_raw_frames_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    frame = bytes(64 * 80 * 3)
    for extra, code in ((b"", 0), (b"123", 2)):
        descriptor = pipe_with(4 * frame + extra)
        with os.fdopen(descriptor) as standard_input:
            monkeypatch.setattr(sys, "stdin", standard_input)
            assert run("stream", "-", "--size", "80x64", "--rate", "10", "-o", "o.mp4", "--overwrite") == code
        assert count("o.mp4") == 4
    assert "ended within frame 4, after 3 of 15360 bytes" in capsys.readouterr().err
    assert run("stream", "-") == 2


def test_stream_that_breaks_off_is_connected_again(mjpeg_server: Callable[..., str], runtime: Any) -> None:
    stopped = threading.Event()

    def after(index: int) -> None:
        if index == 30:  # more than one connection gives
            stopped.set()
            os.kill(os.getpid(), 2)

    runtime.after_frame = after
    assert run("stream", mjpeg_server(count=20, rate=100), "--reconnect", "20", "-o", "o.mp4") == 0
    assert stopped.is_set() and count("o.mp4") == 30


def test_choice_of_people_is_checked(make_video: Callable[..., Path], capsys: Any) -> None:
    make_video("a.mp4", count=2)
    for arguments, words in (
        (["--keep-faces", "."], "got no recogniser, takes --recognizer FILE"),
        (["--recognizer", "x.onnx"], "without --keep-faces"),
        (["--region", "1,2,3"], "region: got '1,2,3', takes x,y,width,height"),
        (["--region", "500,0,9,9"], "takes one inside 96x64 px"),
    ):
        assert run("anonymize", "a.mp4", *arguments) == 2
        assert words in capsys.readouterr().err
    assert not Path("a_anonymized.mp4").exists()
    assert run("anonymize", "a.mp4", "--only-largest") == 0
    assert "whoever is not chosen stays visible" in capsys.readouterr().err


def test_virtual_camera_and_full_disk_say_what_is_wrong(make_video: Callable[..., Path], capsys: Any) -> None:
    make_video("a.mp4", count=2)
    assert run("stream", "a.mp4", "--virtual-camera", "-o", "x.mp4") == 2
    assert "virtual camera: " in capsys.readouterr().err
    assert run("anonymize", "a.mp4", "-o", "y.mp4", "--sidecar", "/dev/full", "--overwrite") == 2
    assert "record /dev/full: cannot be written (No space left on device)" in capsys.readouterr().err


def test_info(make_video: Callable[..., Path], capsys: Any) -> None:
    make_video("a.mp4", count=3)
    run("anonymize", "a.mp4")
    capsys.readouterr()
    for name, kind in (("a_anonymized.mp4.mfm.jsonl", "sidecar"), ("a_anonymized.mp4", "video"), ("a.mp4", "video")):
        assert run("info", name, "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["kind"], facts["frames"]) == (kind, 3)
        assert ("salt" in facts) == ("anonymized" in name)
    Path("cut.jsonl").write_bytes(Path("a_anonymized.mp4.mfm.jsonl").read_bytes()[:-20])
    assert run("info", "cut.jsonl", "--json") == 0
    assert json.loads(capsys.readouterr().out)["complete"] is False
    assert run("info", "absent") == 2


def test_doctor_and_module(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "mfm_edge", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    checks = {event["part"]: event for event in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout + done.stderr
    assert "really runs on CPUExecutionProvider" in checks["network"]["text"] or checks["network"]["state"] == "ok"
    assert checks["detector"]["state"] == checks["critic"]["state"] == "ok" and "pyvirtualcam" in checks


def test_bench_smoke(capsys: Any) -> None:
    assert run("bench", "--rounds", "1", "--frames", "3", "--json") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["frames"] == 3 and last["frames_per_second"] > 0


def test_register_remembers_what_was_protected(make_video: Callable[..., Path], capsys: Any, tmp_path: Path) -> None:
    video = make_video(count=2)
    assert run("anonymize", video, "-o", "out.mp4") == 0
    capsys.readouterr()
    assert run("register", "list", "--json") == 0
    (entry,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert run("register", "forget", entry["id"]) == 0 and run("register", "list") == 0
    assert capsys.readouterr().out == ""
    assert run("register", "show", "abcd") == 2
    assert "abcd" in capsys.readouterr().err
