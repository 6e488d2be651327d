"""The README holds: its Python runs, its paths exist, its options are known."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge.cli.main import main
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.video import open_source

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(CLIP) as source:
        frame = next(iter(source)).image
    cv2.imwrite(str(tmp_path / "people.jpg"), frame)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["shown"], np.ndarray) and names["shown"].shape == frame.shape
    assert len(names["protected"].faces) == 1


def test_listed_paths_exist() -> None:
    listing = next(block for _, block in BLOCKS if block.startswith("mfm_edge/"))
    folder = Path()
    for line in listing.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else Path(name)
        assert (ROOT / (folder / name if line.startswith(" ") else name)).exists(), name


def test_named_options_are_known() -> None:
    shown = io.StringIO()
    for command in ("anonymize", "restore", "stream", "batch", "info", "doctor", "bench"):
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
            main([command, "--help"])
    section = README.split("## On the command line")[1].split("\n## ")[0]
    for option in set(re.findall(r"--[a-z][a-z-]+", section)) - {"--help"}:
        assert option in shown.getvalue(), option
