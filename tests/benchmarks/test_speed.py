"""The speed benchmark counts and compares right; how fast anything is, no test says."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks are not part of the installed package

from benchmarks import report  # noqa: E402
from benchmarks.speed import timing  # noqa: E402
from benchmarks.speed.__main__ import THREADS, table  # noqa: E402
from benchmarks.speed.kernels import time_paste, time_pixels, time_repeat_add  # noqa: E402
from benchmarks.speed.network import _products, count_flops  # noqa: E402
from benchmarks.speed.timing import machine, take_turns, where  # noqa: E402


def test_the_slower_one_takes_longer_and_quartiles_are_in_order() -> None:
    found = take_turns({"slow": lambda: time.sleep(0.02), "quick": lambda: time.sleep(0.001)}, rounds=3)
    assert found["slow"].median > 10 > found["quick"].median
    assert found["slow"].readings == 3
    assert all(timing.low <= timing.median <= timing.high for timing in found.values())


def test_products_are_counted_as_two_operations_each() -> None:
    assert _products(_products_of("MatMul")) == CONVOLUTION + MATRIX


@pytest.mark.parametrize("branches", [("matrix", "identity"), ("identity", "matrix")])
def test_of_two_branches_the_one_with_more_products_counts(branches: tuple[str, str]) -> None:
    """The last touch of restored faces is in one."""
    assert _products(_products_of("If", branches)) == CONVOLUTION + MATRIX


CONVOLUTION, MATRIX = 2 * (4 * 6 * 6) * 27, 2 * (4 * 6 * 5) * 6


def _products_of(last_kind: str, branches: tuple[str, str] = ("", "")) -> bytes:
    """A model that convolves and multiplies by a matrix, the latter perhaps in a branch only."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    image, out = (
        helper.make_tensor_value_info(n, number, s) for n, s in (("image", ["n", 3, 8, 8]), ("out", ["n", 4, 6, None]))
    )
    kinds = {
        "matrix": helper.make_node("MatMul", ["features", "matrix"], ["branch"]),
        "identity": helper.make_node("Identity", ["features"], ["branch"]),
    }
    if last_kind == "If":
        graphs = [
            helper.make_graph([kinds[kind]], kind, [], [helper.make_tensor_value_info("branch", number, None)])
            for kind in branches
        ]
        last = helper.make_node("If", ["restored"], ["out"], then_branch=graphs[0], else_branch=graphs[1])
    else:
        last = helper.make_node(last_kind, ["features", "matrix"], ["out"])
    weights = {"kernel": np.zeros((4, 3, 3, 3), np.float32), "matrix": np.zeros((6, 5), np.float32)}
    initialisers = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    initialisers.append(onnx.numpy_helper.from_array(np.array(True), "restored"))
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["features"]), last]
    model: bytes = helper.make_model(helper.make_graph(nodes, "g", [image], [out], initialisers)).SerializeToString()
    return model


def test_the_shipped_network_is_counted() -> None:
    assert 1e9 < count_flops() < 1e10


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_the_peak_is_known_for_the_threads_that_are_timed_and_for_all(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_peak", lambda threads: 100.0 * threads)
    monkeypatch.setattr(timing.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    found = machine()
    assert {str(threads) for threads in (*THREADS, cores)} == found["peak_gflop_a_second"].keys()
    assert where(found).endswith(f", {100 * cores} GFLOP/s)")


def test_kernels_meet_their_contestants() -> None:
    assert {"numpy", "ONNX Runtime"} < time_repeat_add(1, 1).keys()
    assert all("numpy" in found and len(found) == 2 for found in time_pixels(1).values())
    assert set(time_paste(1)) == {"mfm_edge", "OpenCV, region", "OpenCV, whole frame"}


def test_the_table_shows_ratios_of_one_run() -> None:
    def ms(**medians: float) -> dict[str, dict[str, float]]:
        return {name.replace("_", " "): {"median": value} for name, value in medians.items()}

    network = ms(ONNX_Runtime_f32=20.0, ONNX_Runtime_int8=8.0)
    paste = {"mfm_edge": {"median": 1.0}, "OpenCV, region": {"median": 4.0}, "OpenCV, whole frame": {"median": 50.0}}
    text = table(
        {
            "processor": "P",
            "cores": 2,
            "model_id": "0123456789abcdef",
            "paste": paste,
            "repeat_add": [{"batch": 1, "ms": ms(native=1.0, numpy=2.0)}],
            "pixels": {"to_planes": ms(native=1.0, numpy=4.0), "to_pixels": ms(other=1.0, numpy=4.0)},
            "network": [{"batch": 1, "threads": 2, "ms": network}, {"batch": 4, "threads": 2, "ms": ms(none=1)}],
            "gflop_a_face": 2.0,
            "peak_gflop_a_second": {"2": 200.0},
            "stages": ms(decode=1.0, network=20.0),
        }
    )
    for row in (
        "| paste-back / OpenCV, region | 0.25 | <= 0.4 |",
        "| paste-back / OpenCV, whole frame | 0.02 | <= 0.05 |",
        "| repeat-and-add / numpy | 0.50 | <= 0.6 |",
        "| to planes / numpy | 0.25 | reported |",
        "| GFLOP a face | 2.00 | <= 2.5 |",
        "| ms a face, ONNX Runtime f32 | 20.0 | <= 12 |",
        "| ONNX Runtime int8 / ONNX Runtime f32 | 0.40 | <= 0.5 |",
        "| share of the peak, ONNX Runtime f32 | 0.50 | reported |",
    ):
        assert row in text
    assert "to pixels / numpy" not in text  # numpy against itself, where nothing was built
    assert "21.0 ms (decode 1.0, network 20.0)" in text
    assert "2 cores (P, 200 GFLOP/s), one face, 2 threads: network\n0123456789abcdef takes" in text


def test_the_readme_says_what_was_measured() -> None:
    begin, end = report.marks("speed")
    said = report.README.read_text().split(begin)[1].split(end)[0].strip()
    result = report.RESULTS / "speed.json"
    assert said == table(json.loads(result.read_text())) if result.exists() else "not measured yet" in said
