"""Fuzzes a reader of hostile files guided by coverage: atheris keeps what reached new code, and changes that further.

    python -I benchmarks/guided_fuzz.py                              lists the readers
    python -I benchmarks/guided_fuzz.py sidecar --runs 20000

For benchmarks.fuzz, in a process a reader: libFuzzer ends it, with another exit code than 0 where a run crashed, took
more than 5 s or 2 GB, or raised anything but the one error that is meant for it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import atheris

HOSTILE = Path(__file__).parents[1] / "tests" / "test_hostile.py"
LONGEST = 1 << 15  # bytes of an input


def load_hostile() -> ModuleType:
    """The tests' module, whose readers these are; what it imports of mfm_edge reports its coverage."""
    spec = spec_from_file_location("test_hostile", HOSTILE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    with atheris.instrument_imports(include=["mfm_edge"]):
        spec.loader.exec_module(module)
    return module


def main() -> None:
    hostile = load_hostile()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", nargs="?", choices=hostile.READERS)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    if options.reader is None:
        print(*hostile.READERS, sep="\n")
        return
    reader = hostile.READERS[options.reader]
    with tempfile.TemporaryDirectory() as name:
        seeds = Path(name) / "seeds"
        seeds.mkdir()
        path = Path(name) / reader.file
        (seeds / "good").write_bytes(reader.make(path))

        def run(content: bytes) -> None:
            path.write_bytes(content)
            reader.survives(path)

        limits = (f"-runs={options.runs}", f"-max_len={LONGEST}", "-timeout=5", "-rss_limit_mb=2048")
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={tempfile.gettempdir()}/", str(seeds)], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
