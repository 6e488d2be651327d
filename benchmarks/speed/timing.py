"""Wall-clock times of contestants that take turns, so that a machine's moods meet all of them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["Timing", "machine", "take_turns", "where"]

LEAST_MS = 5.0
"""Quicker work is repeated within one reading until it takes so long."""
SIDE, ROUNDS = 1024, 10
"""Of the square matrices whose product tells the machine's peak, and how often it is read."""


@dataclass(frozen=True, slots=True)
class Timing:
    """median, low, high: ms a call, the quartiles of so many readings."""

    median: float
    low: float
    high: float
    readings: int


def take_turns(contestants: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Time each contestant once a round, after one call to warm up and as many as tell how often to repeat it."""
    repeats = {}
    for name, work in contestants.items():
        work()
        repeats[name] = max(1, round(LEAST_MS / max(_reading(work, 3), 1e-3)))
    readings: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            readings[name].append(_reading(work, repeats[name]))
    return {name: _timing(found) for name, found in readings.items()}


def _reading(work: Callable[[], object], repeat: int) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - started) * 1000 / repeat


def _timing(readings: list[float]) -> Timing:
    low, median, high = np.percentile(readings, [25, 50, 75])
    return Timing(round(float(median), 4), round(float(low), 4), round(float(high), 4), len(readings))


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and the GFLOP a second of one large float32 matrix product in ONNX Runtime on one
    thread, on the two that goals are for, and on all cores: processors of one name differ by several times, and so does
    one from day to day."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = {"python": platform.python_version()}
    for package in ("mfm-edge", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "torch", "av"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": names[0] if names else platform.processor(),
        "architecture": platform.machine(),
        "cores": cores,
        "peak_gflop_a_second": {str(threads): _peak(threads) for threads in sorted({1, 2, cores})},
        "versions": versions,
    }


def where(result: Mapping[str, Any]) -> str:
    """A result's machine, in words."""
    cores = result["cores"]
    return f"{cores} cores ({result['processor']}, {result['peak_gflop_a_second'][str(cores)]:.0f} GFLOP/s)"


def _peak(threads: int) -> float:
    from onnx import TensorProto, helper  # not above: it would count as memory of those whom stream_rate measures

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIDE, SIDE]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "peak", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(SIDE, SIDE)).astype(np.float32) for name in "ab"}
    found = take_turns({"peak": lambda: session.run(None, given)}, rounds=ROUNDS)["peak"]
    return round(2 * SIDE**3 / found.median / 1e6, 1)
