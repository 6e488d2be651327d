"""Built TensorRT engines in a folder: each a NAME.engine with a NAME.json that says what it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs

from mfm_edge.engine.folder import Precision
from mfm_edge.errors import ModelError

__all__ = ["FORMAT", "Flavour", "Plan", "default_folder", "default_precision", "find_plan", "read_engine", "write_plan"]

FORMAT = 1
MAX_BYTES = 1 << 20
"""Longest NAME.json that is read."""

Flavour = Literal["tensorrt_rtx", "tensorrt"]
"""Python module of TensorRT for RTX, and of the classic TensorRT. Neither runs the other's engines."""


@dataclass(frozen=True, slots=True)
class Plan:
    """flavour, version: of the TensorRT that built it; no other version runs it. targets: compute capabilities of the
    GPUs that run it, 89 for 8.9. model_id, precision: see mfm_edge.engine.folder. batch: most faces at once. inputs,
    outputs: name -> dtype and shape, -1 for the batch. onnx_sha256: of the graph that it was built from.
    """

    flavour: Flavour
    version: str
    targets: tuple[int, ...]
    model_id: str
    precision: str
    batch: int
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    onnx_sha256: str
    engine_sha256: str

    @property
    def name(self) -> str:
        """Without a suffix, e.g. "1f0c-int8-tensorrt_rtx-sm80-sm86"."""
        return "-".join([self.model_id, self.precision, self.flavour, *(f"sm{target}" for target in self.targets)])


def default_folder() -> Path:
    """Of the user's cache; $XDG_CACHE_HOME moves it on Linux."""
    return platformdirs.user_cache_path("mfm_edge") / "engines"


def default_precision(flavour: Flavour, target: int) -> Precision:
    """TensorRT for RTX has no float32 products on SM75."""
    return "f16" if flavour == "tensorrt_rtx" and target == 75 else "f32"


def write_plan(folder: Path, plan: Plan, engine: bytes) -> Path:
    """Write engine and description. Gives the engine's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.name}.engine"
    path.with_suffix(".json").unlink(missing_ok=True)  # a description comes last: without one nothing is loaded
    path.write_bytes(engine)
    path.with_suffix(".json").write_text(json.dumps({"format": FORMAT, **asdict(plan)}, indent=1) + "\n")
    return path


def find_plan(folder: Path, *, flavour: Flavour, version: str, target: int, model_id: str, precision: str) -> Plan:
    """The description of the engine that fits. Raises ModelError that says what was looked for, and what there is."""
    found = []
    for path in sorted(folder.glob("*.json")):
        plan = _read(path)
        if plan is None:
            continue
        fits = (plan.flavour, plan.version, plan.model_id, plan.precision) == (flavour, version, model_id, precision)
        if fits and target in plan.targets:
            return plan
        found.append(f"{plan.name} of version {plan.version}")
    raise ModelError(
        f"engine: no engine of {flavour} {version} for SM{target}, model {model_id}, {precision} in {folder} "
        f"(there: {', '.join(found) or 'none'}); `python -m export.to_tensorrt` builds it"
    )


def read_engine(folder: Path, plan: Plan) -> bytes:
    """The engine's bytes. Raises ModelError when they are not those that the description was written for.

    The hash tells damage, not malice: TensorRT runs what an engine says, so the folder must be the user's own.
    """
    path = folder / f"{plan.name}.engine"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"engine: cannot read {path} ({error.strerror})") from None
    found = hashlib.sha256(content).hexdigest()
    if found != plan.engine_sha256:
        raise ModelError(
            f"engine: {path} has sha256 {found}, its description says {plan.engine_sha256}: build it again"
        )
    return content


def _read(path: Path) -> Plan | None:
    """None for what is no description in this format."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_BYTES))
        if content.pop("format") != FORMAT:
            return None
        plan = Plan(**content | {"targets": tuple(content["targets"])})
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    return plan if plan.name == path.stem else None
