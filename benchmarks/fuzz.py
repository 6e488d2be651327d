"""Runs the tests of hostile files with many cases each and writes how many there were.

    python -m benchmarks.fuzz --cases 12000 --publish                      a quarter of an hour
    python -m benchmarks.fuzz --cases 1000 --only network --output /tmp/fuzz.json

A case that crashes, hangs for 5 s, takes more than 64 MiB or raises anything but the one error that is meant for it
fails the run, which then exits with pytest's code and writes nothing.
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
TESTS = ROOT / "tests" / "test_hostile.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="WORD", help="the tests with this word in their names")
    add_options(parser, NAME, DOCUMENT)
    options = parser.parse_args()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-I", "-m", "pytest", "-q", "--hypothesis-show-statistics", "-k", options.only, str(TESTS)],
        env={**os.environ, "MFM_FUZZ_CASES": str(options.cases)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        return done.returncode
    # "test_hostile.py::name:" and, in its block, "- 200 passing, 0 failing, and 3 invalid test cases"
    blocks = re.findall(r"::(test_\w+):\n(.*?)(?=\n\S|\Z)", done.stdout, re.DOTALL)
    counts = {name: sum(map(int, re.findall(r"(\d+) passing", block))) for name, block in blocks}
    if not sum(counts.values()):
        print("benchmarks/fuzz.py: error: pytest counted no case", file=sys.stderr)
        return 1
    result = {
        "cases": counts,
        "total": sum(counts.values()),
        "failures": 0,
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "python": platform.python_version(),
    }
    write(options, NAME, result, tell)
    return 0


def tell(result: Mapping[str, Any]) -> str:
    return (
        f"{result['total']:,} cases of {len(result['cases'])} kinds, none failed "
        "(`python -m benchmarks.fuzz --cases 12000 --publish`)."
    )


if __name__ == "__main__":
    sys.exit(main())
