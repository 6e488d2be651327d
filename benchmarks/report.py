"""Where a benchmark's result goes: a JSON file and, on request, the part of a document that is generated from it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["README", "RESULTS", "ROOT", "add_options", "marks", "publish", "write"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"


def add_options(parser: argparse.ArgumentParser, name: str, document: Path = README) -> None:
    parser.set_defaults(document=document)
    parser.add_argument("--output", type=Path, default=RESULTS / f"{name}.json", help="(default: %(default)s)")
    parser.add_argument("--publish", action="store_true", help=f"also write the part in {document.name}")


def write(
    options: argparse.Namespace, name: str, result: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], str]
) -> None:
    """Writes a result where the options say. tell: result -> what the document says of it."""
    text = json.dumps(result, indent=1)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text + "\n")
    told = tell(json.loads(text))  # as read from the file, so that the file says all
    print(told)
    if options.publish:
        publish(name, told, options.document)


def marks(name: str) -> tuple[str, str]:
    """What stands before and behind a generated part."""
    shown = name.replace("_", " ")
    return f"<!-- {shown}: begin (generated from benchmarks/results/{name}.json) -->", f"<!-- {shown}: end -->"


def publish(name: str, text: str, document: Path) -> None:
    """Replaces what stands between a part's marks."""
    begin, end = marks(name)
    before, rest = document.read_text().split(begin)
    document.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
