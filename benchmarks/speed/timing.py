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

__all__ = ["Timing", "machine", "take_turns"]

LEAST_MS = 5.0
"""Quicker work is repeated within one reading until it takes so long."""


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
    """Processor, cores and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = {"python": platform.python_version()}
    for package in ("mfm-edge", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "torch", "av"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": names[0] if names else platform.processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": versions,
    }
