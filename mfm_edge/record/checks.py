"""Checks of values that come out of a sidecar's JSON; each raises RecordError."""

from __future__ import annotations

from typing import Any

from mfm_edge.errors import RecordError

__all__ = ["check_keys", "integer", "number", "numbers", "refuse_constant"]

_MAX_COORDINATE = 1e7


def check_keys(name: str, content: Any, keys: set[str]) -> None:
    if not isinstance(content, dict):
        raise RecordError(f"{name}: got {type(content).__name__}, takes an object with {', '.join(sorted(keys))}")
    for key in sorted(keys - content.keys()):
        raise RecordError(f"{name}: {key} is missing")
    for key in sorted(content.keys() - keys):
        raise RecordError(f"{name}: got unknown {key!r:.60}, takes {', '.join(sorted(keys))}")


def integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecordError(f"{name}: got {value!r:.40}, takes an integer from {low} to {high}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise RecordError(f"{name}: got {value!r:.40}, takes a number from {low:g} to {high:g}")
    return float(value)


def numbers(name: str, value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise RecordError(f"{name}: got {value!r:.40}, takes {count} numbers")
    return [number(name, one, -_MAX_COORDINATE, _MAX_COORDINATE) for one in value]


def refuse_constant(name: str) -> float:
    raise RecordError(f"got {name}, takes finite numbers")
