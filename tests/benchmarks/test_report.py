"""Figures in the documents are those of the result files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    detection,
    fuzz,
    live_delay,
    missed_faces,
    report,
    seal_rate,
    smoothness,
    soak,
    stream_rate,
)

MODULES = (detection, live_delay, missed_faces, smoothness, soak, stream_rate)
IN_SECURITY = (fuzz, seal_rate)


def part(name: str, document: Path) -> str:
    begin, end = report.marks(name)
    return document.read_text().split(begin)[1].split(end)[0].strip()


@pytest.mark.parametrize("module", (*MODULES, *IN_SECURITY), ids=lambda module: module.NAME)
def test_documents_say_what_was_measured(module: Any) -> None:
    said = part(module.NAME, module.DOCUMENT if module in IN_SECURITY else report.README)
    result = report.RESULTS / f"{module.NAME}.json"
    if result.exists():
        assert said == module.tell(json.loads(result.read_text())).strip()
    else:
        assert "not measured yet" in said and f"python -m benchmarks.{module.NAME} --publish" in said


CAMERA = {"cores": 2, "processor": "P", "model_id": "M", "camera": {"size": [1280, 720], "rate": 30.0}, "incidents": 0}
VIEWER = {"median_ms": 80.2, "p95_ms": 99.7, "most_ms": 120.0, "frames_per_second": 14.25}


def test_live_figures_read_well() -> None:
    live = {"goal_ms": 120, **CAMERA, "peak_gflop_a_second": {"1": 95.0, "2": 133.4}}
    said = live_delay.tell({**live, "viewer": VIEWER, "browser": {**VIEWER, "median_ms": 91}})
    assert "2 cores (P, 133 GFLOP/s)" in said
    assert "viewer 80 ms" in said and "browser after 91 ms" in said and "14.2 of 30 frames" in said
    checked = {"frames": 9, "covered_whole": 0, "too_late": 0, "faces": 12, "unprotected": 1, "recognised": 2}
    memory = {"least_mb": 300.4, "most_mb": 310.0, "growth": -0.012, "flat": True, "camera_mb": 176.9}
    result = {"minutes": 60.0, "clips": 9, **CAMERA, "checked": checked, "memory": memory}
    said = soak.tell({**result, "judge": "sface"})
    assert "of 12 faces" in said and "1 were left as they were, and a recogniser matched 2" in said
    assert "-1.2%" in said and "177 of it" in said
    assert "recogniser" not in soak.tell({**result, "judge": None})


def test_fuzzing_tells_both_kinds_apart_and_ends_as_what_it_runs() -> None:
    said = fuzz.tell({"total": 3500, "cases": {"a": 1000, "b": 1500}, "guided": {"c": 400, "d": 600}})
    assert (
        "3,500 cases, none failed: 2,500 of 2 kinds" in said and "1,000 by atheris" in said and "of 2 readers" in said
    )
    assert fuzz._run("-c", "import os; print(os.environ['A'])", A="b") == "b\n"
    with pytest.raises(SystemExit) as ended:
        fuzz._run("-c", "raise SystemExit(77)")
    assert ended.value.code == 77


def test_guided_fuzzing_knows_the_readers_and_fails_for_what_they_must_not_raise(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="needs the extra: fuzz")
    assert {"sidecar", "seal", "video"} <= set(fuzz._run(str(fuzz.GUIDED)).split())
    fuzz._run(str(fuzz.GUIDED), "size", "--runs", "20")
    careless = fuzz.TESTS.read_text().replace("except allowed as error", "except ZeroDivisionError as error")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / fuzz.TESTS.name).write_text(careless)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / fuzz.GUIDED.name).write_text(fuzz.GUIDED.read_text())
    with pytest.raises(SystemExit):
        fuzz._run(str(tmp_path / "benchmarks" / fuzz.GUIDED.name), "size", "--runs", "20")


def test_result_goes_to_the_file_and_into_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin, end = report.marks("soak")
    document = tmp_path / "README.md"
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    parser = argparse.ArgumentParser()
    report.add_options(parser, "soak", document)

    def tell(result: Mapping[str, Any]) -> str:
        return f"{result['size']}"

    output = tmp_path / "results" / "soak.json"
    report.write(parser.parse_args(["--output", str(output)]), "soak", {"size": (1, 2)}, tell)
    assert json.loads(output.read_text()) == {"size": [1, 2]} and "old" in document.read_text()
    report.write(parser.parse_args(["--output", str(output), "--publish"]), "soak", {"size": (1, 2)}, tell)
    assert document.read_text() == f"before\n{begin}\n[1, 2]\n{end}\nafter\n"
    assert capsys.readouterr().out == "[1, 2]\n[1, 2]\n"
