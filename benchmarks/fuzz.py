"""Breaks files of every kind in many ways and writes how many there were: by the tests of hostile files, and guided by
coverage.

    python -m benchmarks.fuzz --cases 6000 --runs 6000 --publish           a quarter of an hour
    python -m benchmarks.fuzz --cases 1000 --only network --runs 0 --output /tmp/fuzz.json

A case that crashes, hangs for 5 s, takes more than 64 MiB or raises anything but the one error that is meant for it
fails the run, which then exits with an error and writes nothing. --runs takes the extra `fuzz` (atheris).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.report import ROOT, add_options, write

NAME, DOCUMENT = "fuzz", ROOT / "docs" / "security.md"
GUIDED = ROOT / "benchmarks" / "guided_fuzz.py"
TESTS = ROOT / "tests" / "test_hostile.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="WORD", help="the tests with this word in their names")
    parser.add_argument("--runs", type=int, default=0, help="of each reader, guided by coverage (default: none)")
    add_options(parser, NAME, DOCUMENT)
    options = parser.parse_args()
    started = time.perf_counter()
    guided = _run(str(GUIDED)).split() if options.runs else []
    for reader in guided:
        _run(str(GUIDED), reader, "--runs", str(options.runs))
    shown = _run("-m", "pytest", "-q", "--hypothesis-show-statistics", "-k", options.only, str(TESTS),
                 MFM_FUZZ_CASES=str(options.cases))  # fmt: skip
    # "test_hostile.py::name:" and, in its block, "- 200 passing, 0 failing, and 3 invalid test cases"
    blocks = re.findall(r"::(test_\w+):\n(.*?)(?=\n\S|\Z)", shown, re.DOTALL)
    counts = {name: sum(map(int, re.findall(r"(\d+) passing", block))) for name, block in blocks}
    if not sum(counts.values()):
        print("benchmarks/fuzz.py: error: pytest counted no case", file=sys.stderr)
        return 1
    result = {
        "cases": counts,
        "guided": dict.fromkeys(guided, options.runs),
        "total": sum(counts.values()) + len(guided) * options.runs,
        "failures": 0,
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "python": platform.python_version(),
    }
    write(options, NAME, result, tell)
    return 0


def _run(*arguments: str, **environment: str) -> str:
    """What a program in Python prints. Ends this one as it ends, after showing what it said, when it fails."""
    command = [sys.executable, "-I", *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        print(done.stdout, done.stderr, " ".join(arguments), sep="\n")
        raise SystemExit(done.returncode)
    return done.stdout


def tell(result: Mapping[str, Any]) -> str:
    guided = sum(result["guided"].values())
    return (
        f"{result['total']:,} cases, none failed: {result['total'] - guided:,} of {len(result['cases'])} kinds by "
        f"hypothesis,\nand {guided:,} by atheris, guided by the coverage of {len(result['guided'])} readers "
        "(`python -m benchmarks.fuzz --cases 6000 --runs 6000 --publish`)."
    )


if __name__ == "__main__":
    sys.exit(main())
