"""The register's command line, and a video restored through it when its sidecar and its tag are gone."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfm_edge import stream
from mfm_edge.cli import job
from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.errors import MfmError
from mfm_edge.record import RecordReader
from mfm_edge.register import Register
from mfm_edge.register.commands import PASSPHRASE_VARIABLE, add_commands, main
from mfm_edge.video import FileSink, open_source

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, fake_runtime: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(job, "MfmRuntime", lambda **_options: fake_runtime)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.chdir(tmp_path)


def protect(path: Path, *options: str) -> str:
    assert stream.main([str(path), "--hair", "gray", *options]) == 0
    return Register().entries()[-1].id


def test_list_show_forget(make_video: Callable[..., Path], capsys: Any) -> None:
    stream_id = protect(make_video("talk.mp4", count=2))
    capsys.readouterr()
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split()[0] == stream_id
    assert main(["show", stream_id[:6]]) == 0
    shown = capsys.readouterr().out
    assert "talk_anonymized.mp4" in shown and "password, hair" in shown and "algorithm=argon2id" in shown
    assert "gray" not in shown and "horse" not in shown
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == stream_id
    assert main(["forget", stream_id]) == 0
    assert Register().entries() == []
    assert main(["forget", stream_id]) == 2
    assert capsys.readouterr().err.startswith("mfm_edge.register: error: stream id: got")


def test_kept_factors_are_shown_to_who_has_the_passphrase(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "master")
    stream_id = protect(make_video(count=2), "--keep-factors", "passphrase")
    capsys.readouterr()
    assert main(["show", stream_id, "--json", "--factors", "passphrase"]) == 0
    assert json.loads(capsys.readouterr().out)["factors"] == {"password": PASSWORD, "hair": "gray"}
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "other")
    assert main(["show", stream_id, "--factors", "passphrase"]) == 2
    output = capsys.readouterr()
    assert "need another passphrase" in output.err and "horse" not in output.err + output.out
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    assert main(["show", stream_id, "--factors", "passphrase"]) == 2


def test_list_shows_damaged_streams_as_such(make_video: Callable[..., Path], capsys: Any) -> None:
    damaged, good = protect(make_video("a.mp4", count=2)), protect(make_video("b.mp4", count=2))
    with sqlite3.connect(Register().path) as database:
        database.execute("UPDATE streams SET kinds = '5' WHERE id = ?", (damaged,))
    capsys.readouterr()
    assert main(["list"]) == 0
    lines = sorted(capsys.readouterr().out.splitlines(), key=lambda line: line.split()[0] != damaged)
    assert lines[0] == f"{damaged}  damaged; it can be forgotten" and lines[1].startswith(good)
    assert main(["list", "--json"]) == 0
    assert json.dumps({"id": damaged, "damaged": True}) in capsys.readouterr().out.splitlines()
    assert main(["forget", damaged]) == 0 and [entry.id for entry in Register().listed()] == [good]


def test_stream_is_not_remembered_when_asked_so(make_video: Callable[..., Path], capsys: Any) -> None:
    path = make_video(count=2)
    assert stream.main([str(path), "--no-register"]) == 0
    assert Register().entries() == []
    assert stream.main([str(path), "--overwrite", "--no-register", "--keep-factors", "keyring"]) == 2
    assert "--keep-factors: got --no-register" in capsys.readouterr().err


def test_register_that_cannot_be_written_does_not_stop_protecting(
    make_video: Callable[..., Path], data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (data_folder / "mfm_edge").write_text("in the way")
    path = make_video("a.mp4", count=2)
    assert stream.main([str(path)]) == 0
    assert "this stream is not remembered" in capsys.readouterr().err
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "master")
    assert stream.main([str(path), "-o", "b.mp4", "--keep-factors", "passphrase"]) == 2
    assert not Path("b.mp4").exists()


def without_tag(video: Path) -> None:
    """As after a service that strips tags, under the same name."""
    kept = video.with_name("kept.mp4")
    with open_source(video) as source, FileSink(kept, size=source.size, crf=10) as sink:
        for frame in source:
            sink.write(frame.image, frame.time)
    kept.replace(video)


@pytest.mark.parametrize("renamed", [False, True])
def test_lost_sidecar_and_lost_tag(
    make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any, renamed: bool
) -> None:
    original = make_video("talk.mp4", count=4)
    stream_id = protect(original)
    video = tmp_path / "talk_anonymized.mp4"
    (tmp_path / "talk_anonymized.mp4.mfm.jsonl").unlink()
    without_tag(video)
    if renamed:  # its name tells nothing any more, the user does
        video = video.rename(tmp_path / "holiday.mp4")
        assert main(["export", stream_id, "-o", "holiday.mp4.mfm.jsonl"]) == 0
        assert main(["export", stream_id, "-o", "holiday.mp4.mfm.jsonl"]) == 2
        with RecordReader(tmp_path / "holiday.mp4.mfm.jsonl") as reader:
            assert reader.header.stream_id == stream_id
    assert stream.main([str(video), "--restore", "-o", "back.mp4", "--hair", "gray"]) == 0
    with open_source(original) as before, open_source(tmp_path / "back.mp4") as after:
        assert np.abs(next(iter(before)).image.astype(int) - next(iter(after)).image).mean() < 4


def test_commands_fit_into_another_parser(tmp_path: Path, capsys: Any) -> None:
    outer = argparse.ArgumentParser()
    add_commands(outer.add_subparsers().add_parser("register"))
    options = outer.parse_args(["register", "--register", str(tmp_path / "r"), "show", "ab"])
    with pytest.raises(MfmError, match="names no stream"):
        options.task(options)
