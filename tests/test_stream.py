"""The command line: names, passwords, refusals in one line, and every way a run can end."""

from __future__ import annotations

import getpass
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfm_edge import stream
from mfm_edge.cli import job
from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.factors import Factors
from mfm_edge.record import FrameRecord, RecordReader, RecordWriter
from mfm_edge.video import open_source

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch, fake_runtime: Any, tmp_path: Path) -> Any:
    monkeypatch.setattr(job, "MfmRuntime", lambda **_options: fake_runtime)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.chdir(tmp_path)
    return fake_runtime


def run(*arguments: object) -> int:
    try:
        return stream.main([str(argument) for argument in arguments])
    except SystemExit as exit_:  # argparse
        return int(exit_.code or 0)


def count(path: Path) -> int:
    with open_source(path) as source:
        return len(list(source))


def test_default_names_there_and_back(
    make_video: Callable[..., Path], tmp_path: Path, runtime: Any, capsys: Any
) -> None:
    make_video("talk.mp4", count=8)
    flags = ["--hair", "blond", "--smiling", "--no-beard", "--mouth-open"]
    assert run("talk.mp4", *flags) == 0
    output = capsys.readouterr()
    assert "anonymised 8 frames with 8 faces at" in output.out and "talk_anonymized.mp4.mfm.jsonl" in output.out
    assert list(runtime.locked.values()) == [
        Factors(PASSWORD, hair="blond", smiling=True, beard=False, mouth_open=True)
    ]
    assert run("talk_anonymized.mp4", "--restore", *flags) == 0
    assert "restored 8 frames with 8 faces" in capsys.readouterr().out
    assert count(tmp_path / "talk_restored.mp4") == 8
    assert runtime.restored_from == list(range(1, 9))


def test_camera_flag_takes_a_file_too_and_o_names_the_output(make_video: Callable[..., Path], tmp_path: Path) -> None:
    assert run("--camera", make_video(count=3), "-o", "mine.mkv", "--sidecar", "side.jsonl") == 0
    assert count(tmp_path / "mine.mkv") == 3
    with RecordReader(tmp_path / "side.jsonl") as reader:
        assert len(list(reader)) == 3


def test_missing_sidecar_is_announced(make_video: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    run(make_video("a.mp4", count=3))
    (tmp_path / "a_anonymized.mp4.mfm.jsonl").unlink()
    assert run("a_anonymized.mp4", "--restore") == 0
    assert "has no sidecar: faces are detected again, restored less exactly" in capsys.readouterr().err


def test_existing_files_are_kept(make_video: Callable[..., Path], capsys: Any) -> None:
    path = make_video("a.mp4", count=2)
    assert run(path) == 0
    assert run(path) == 2
    assert "a_anonymized.mp4 exists already, takes a new name or --overwrite" in capsys.readouterr().err
    assert run(path, "--overwrite") == 0
    assert run(path, "--overwrite", "-o", path) == 2
    assert "the input itself" in capsys.readouterr().err
    assert count(path) == 2


def test_password_file(make_video: Callable[..., Path], tmp_path: Path, runtime: Any) -> None:
    (tmp_path / "password").write_bytes("pässword \r\nsecond line".encode())
    assert run(make_video(count=2), "--password-file", "password") == 0
    assert next(iter(runtime.locked.values())).password == "pässword "


def test_password_prompt(make_video: Callable[..., Path], runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE)
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    answers = ["one", "one", "one", "two", "one"]
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: answers.pop(0))
    path = make_video("a.mp4", count=2)
    assert run(path) == 0
    assert next(iter(runtime.locked.values())).password == "one"
    assert run(path, "-o", "b.mp4") == 2  # the second entry differs
    assert not Path("b.mp4").exists()
    assert run("a_anonymized.mp4", "--restore") == 0  # asked once


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "takes one input"),
        (["{video}", "--camera", "0"], "takes one input"),
        (["absent.mp4"], "absent.mp4: no such file"),
        (["{junk}"], "junk.mp4: cannot be opened"),
        (["http://user:pw@127.0.0.1:9/x"], "source http://127.0.0.1:9/x: cannot be opened"),
        (["--camera", "99"], "camera 99: cannot be opened"),
        (["{video}", "--hair", "green"], "invalid choice: 'green'"),
        (["{video}", "--crf", "99"], "crf: got 99"),
        (["{video}", "-o", "x.gif"], "takes a file name ending in .mp4"),
        (["{video}", "-o", "absent/x.mp4"], "cannot be written"),
        (["{video}", "--password-file", "absent"], "password file absent: cannot be read"),
        (["{video}", "--password-file", "{junk}"], "is not UTF-8 text"),
        (["{video}", "--password-file", "{empty}"], "password: got an empty string"),
        (["{video}", "--restore", "--sidecar", "{junk}"], "junk.mp4, line 1"),
        (["{video}", "--preview"], "preview: "),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    make_video: Callable[..., Path],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    places = {"video": make_video(count=2), "junk": tmp_path / "junk.mp4", "empty": tmp_path / "empty"}
    places["junk"].write_bytes(bytes(range(256)) * 20)
    places["empty"].write_bytes(b"")
    before = set(tmp_path.iterdir())
    assert run(*(argument.format(**places) for argument in arguments)) == 2
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "error: " in line]
    assert len(lines) == 1 and lines[0].startswith("mfm_edge.stream: error: ") and words in lines[0]
    assert set(tmp_path.iterdir()) == before


def test_password_as_argument_is_not_echoed(capsys: Any) -> None:
    assert run("a.mp4", "--password", PASSWORD) == 2
    assert run("a.mp4", f"--password={PASSWORD}") == 2
    output = capsys.readouterr()
    assert "unrecognized arguments: --password" in output.err
    assert "horse" not in output.err + output.out


def test_no_password_without_a_terminal(make_video: Callable[..., Path], monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(make_video(count=2)) == 2
    assert "password: none given, takes --password-file, MFM_PASSWORD" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_a_complete_pair(
    make_video: Callable[..., Path],
    tmp_path: Path,
    runtime: Any,
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, written = RecordWriter.write, []

    def interrupted(self: RecordWriter, record: FrameRecord) -> None:
        write(self, record)
        written.append(record)
        if len(written) == 6:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(RecordWriter, "write", interrupted)
    before = signal.getsignal(number)
    assert run(make_video("a.mp4", count=40, audio=True)) == code
    assert signal.getsignal(number) is before
    assert count(tmp_path / "a_anonymized.mp4") == 6
    with RecordReader(tmp_path / "a_anonymized.mp4.mfm.jsonl") as reader:
        assert len(list(reader)) == 6
    assert not reader.truncated


def test_interrupt_is_how_a_live_source_ends(mjpeg_server: Callable[..., str], tmp_path: Path, runtime: Any) -> None:
    runtime.after_frame = lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 3 else None
    assert run("--camera", mjpeg_server(count=40, stall=True), "-o", "out.mp4") == 0
    assert count(tmp_path / "out.mp4") >= 3


def test_source_that_disappears_says_what_is_kept(
    mjpeg_server: Callable[..., str], tmp_path: Path, capsys: Any
) -> None:
    assert run(mjpeg_server(count=20)) == 2
    assert "stream_anonymized.mp4 keeps what came before" in capsys.readouterr().err
    assert count(tmp_path / "stream_anonymized.mp4") >= 2
