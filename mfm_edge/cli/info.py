"""mfm-edge info: what a sidecar, a protected video, a picture or a model holds. None of it is secret."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfm_edge.cli.options import add_common
from mfm_edge.errors import ModelError, RecordError, SourceError

if TYPE_CHECKING:
    from mfm_edge.cli.report import Report
    from mfm_edge.record import RecordHeader

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "info",
        help="what a sidecar, a protected video or a model holds",
        description="Say what a sidecar, a video or a model folder holds. No password is needed, no secret is shown.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, help="sidecar, video, picture, or folder with a model's card.json")
    add_common(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    facts = _facts(options.file)
    report.event("info", facts)
    for name, value in facts.items():
        report.line(f"{name.replace('_', ' '):22}{_shown(value)}")
    return 0


def _facts(path: Path) -> dict[str, object]:
    if not path.exists():
        raise SourceError(f"file {path}: no such file, takes a sidecar, a video or a model folder")
    if path.name == "card.json" or (path / "card.json").is_file():
        return _model(path if path.is_dir() else path.parent)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(1) == b"{":
                return _sidecar(path)
    return _video(path)


def _model(folder: Path) -> dict[str, object]:
    from mfm_edge.engine.folder import read_model

    model = read_model(folder)  # checks every file against the card, and executes none
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ModelError(f"model {folder}: its card cannot be read") from None
    told = {name: value for name, value in card.items() if isinstance(value, (str, int, float))}
    return {"kind": "model", "folder": str(folder), "model_id": model.model_id, "files": "as the card says", **told}


def _sidecar(path: Path) -> dict[str, object]:
    from mfm_edge.record import RecordReader
    from mfm_edge.types import Treatment

    counts = dict.fromkeys(("frames", "faces", "covered_faces", "incidents"), 0)
    tracks: set[int] = set()
    last: float | None = None
    with RecordReader(path) as reader:
        for frame in reader:
            counts["frames"] += 1
            counts["faces"] += len(frame.faces)
            counts["covered_faces"] += sum(face.treatment is Treatment.COVERED for face in frame.faces)
            counts["incidents"] += frame.incidents
            tracks |= {face.track for face in frame.faces if face.track is not None}
            last = frame.time if frame.time is not None else last
        return {
            "kind": "sidecar",
            **_header(reader.header),
            **counts,
            "tracks": len(tracks),
            "last_frame_at_seconds": last,
            "complete": not reader.truncated,
        }


def _video(path: Path) -> dict[str, object]:
    from mfm_edge.record import RecordHeader, sidecar_of
    from mfm_edge.video import open_source

    beside = sidecar_of(path)
    with open_source(path) as source:
        facts: dict[str, object] = {
            "kind": "pictures" if source.names else "video",
            "width": source.size[0],
            "height": source.size[1],
            "frame_rate": source.frame_rate,
            "frames": source.frame_count,
            "sound": source.audio is not None,
            "sidecar": str(beside) if beside.is_file() else None,
        }
        try:
            header = RecordHeader.from_text(source.metadata.get("comment", ""))
        except RecordError:
            return {**facts, "protected": "yes, by its sidecar" if beside.is_file() else "not that it says"}
    told = {name: value for name, value in _header(header).items() if name not in facts}
    return {**facts, "protected": "yes, by its own tag", **told}


def _header(header: RecordHeader) -> dict[str, object]:
    return {
        "model_id": header.model_id,
        "width": header.width,
        "height": header.height,
        "frame_rate": header.frame_rate,
        "salt": header.salt.hex(),
        "key_derivation": header.key_derivation.to_mapping(),
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if value is None:
        return "unknown"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
