"""With wrong factors everything goes as with the right ones, and nothing that is stored depends on the factors, but for
the slots, of which docs/security.md says what they tell.

Whoever guesses has to judge the picture: no exit code, message, file or duration tells.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mfm_edge import MfmRuntime, stream
from mfm_edge.cli import job
from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.factors import Factors, KeyDerivation
from mfm_edge.record import RecordReader
from mfm_edge.register import Register
from mfm_edge.video import open_source

RIGHT = ("correct horse", ["--hair", "gray", "--smiling"])
WRONG = {
    "another password": ("something else entirely", RIGHT[1]),
    "one character off": ("correct hors3", RIGHT[1]),
    "one attribute off": (RIGHT[0], ["--hair", "gray", "--no-smiling"]),
    "one attribute less": (RIGHT[0], ["--hair", "gray"]),
    "attributes alone": ("x", RIGHT[1]),
}


@pytest.fixture(scope="module")
def runtime() -> MfmRuntime:
    return MfmRuntime()


@pytest.fixture
def run(runtime: MfmRuntime, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Any:
    """Runs the command line; gives its exit code and everything that it said, without the speed."""
    monkeypatch.setattr(job, "MfmRuntime", lambda **_options: runtime)

    def call(factors: tuple[str, list[str]], *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv(PASSWORD_VARIABLE, factors[0])
        code = stream.main([*map(str, arguments), *factors[1]])
        out, err = capfd.readouterr()
        # However often the progress bar was drawn, which a slow machine decides.
        return code, re.sub(r"[\d.]+ frames/s", "frames/s", out), re.sub(r"\r[^\r\n]*(?=\r|\Z)", "", err)

    return call


def layout(folder: Path) -> dict[str, object]:
    """Every file under a folder; of videos, all that can be read beside the pictures themselves."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix != ".mp4":
            found[path.name] = path.read_bytes()
            continue
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            packets = [
                (packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in container.demux(video)
            ]
            context = video.codec_context
            found[path.name] = (dict(container.metadata), dict(video.metadata), context.width, context.height,
                                context.pix_fmt, context.profile, context.level, packets)  # fmt: skip
    return found


@pytest.mark.parametrize("with_sidecar", [True, False])
def test_restoring_looks_the_same_from_outside(
    run: Any, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_sidecar: bool
) -> None:
    protected = tmp_path / "out.mp4"
    assert run(RIGHT, short_clip, "-o", protected)[0] == 0
    if not with_sidecar:
        (tmp_path / "out.mp4.mfm.jsonl").unlink()
    seen, shown = {}, {}
    for number, (name, factors) in enumerate([("right", RIGHT), *WRONG.items()]):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        seen[name] = run(factors, protected, "--restore", "-o", "back.mp4"), layout(folder)
        with open_source(folder / "back.mp4") as source:
            shown[name] = next(iter(source)).image.astype(int)
    assert seen["right"][0][0] == 0 and "restored 6 frames" in seen["right"][0][1]
    for name in WRONG:
        assert seen[name] == seen["right"], name
        assert np.abs(shown[name] - shown["right"]).max() > 40, name  # and yet another face is seen


def test_nothing_stored_depends_on_the_factors(
    run: Any, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one salt, two sets of factors leave the same sidecar, tags and register, bit by bit but for the slots:
    guesses match all."""
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    seen, first = [], None
    for number, factors in enumerate([RIGHT, WRONG["one character off"], WRONG["one attribute off"]]):
        folder = tmp_path / str(number) / "same"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / str(number) / "data"))
        said = run(factors, short_clip, "-o", "out.mp4")
        (entry,) = Register().entries()
        remembered = {**entry.to_mapping(), "created": None, "output": None}
        with open_source(folder / "out.mp4") as source:
            pictures = [frame.image for frame in source]
        files = layout(folder)
        sidecar = files["out.mp4.mfm.jsonl"]
        assert isinstance(sidecar, bytes)
        files["out.mp4.mfm.jsonl"], slots = re.subn(rb'"slot":\d+', b"", sidecar)
        assert slots == 6
        seen.append((said, files, remembered))
        with RecordReader(folder / "out.mp4.mfm.jsonl") as reader:
            assert reader.header.salt == bytes(16)
        if first is not None:
            assert np.abs(pictures[0].astype(int) - first).max() > 40  # the factors did make a difference
        first = pictures[0] if first is None else first
    assert set(seen[0][1]) == {"out.mp4", "out.mp4.mfm.jsonl"}
    assert seen[1] == seen[0] and seen[2] == seen[0]


def test_wrong_factors_take_as_long(runtime: MfmRuntime, short_clip: Path) -> None:
    with open_source(short_clip) as source:
        frame = next(iter(source)).image
    cheap = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
    right, wrong = Factors(RIGHT[0], smiling=True), Factors(RIGHT[0], smiling=False)
    best = {}
    with runtime.open_stream(right, salt=b"one salt", key_derivation=cheap) as opened:
        protected = opened.anonymize(frame)
    for _ in range(7):  # in turn, so that whatever else the machine does meets both
        for name, factors in (("right", right), ("wrong", wrong)):
            started = time.perf_counter()
            with runtime.open_stream(factors, salt=b"one salt", key_derivation=cheap) as opened:
                opened.restore(protected.frame, protected.faces)
            best[name] = min(best.get(name, 60.0), time.perf_counter() - started)
    assert 0.6 < best["wrong"] / best["right"] < 1.6
