"""python -m export.verify: an exported model gives the same faces whatever runs it.

Real crops go there and back under real keys. The first backend, torch when --run is given and else ONNX Runtime without
optimisations, says what is right; each other is compared part by part on the same inputs, and as a whole. Without --run
nothing tells whether the files hold what was trained: only that all backends read them alike and that restoring works.

Exit code 1 when a check fails, 2 when there is nothing to check.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from export import backends
from export.backends import Backend
from mfm_edge.align import align
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.folder import CARD, PARTS, SHIPPED_MODEL, Precision, read_model
from mfm_edge.engine.steps import RunPart, run_parts
from mfm_edge.errors import MfmError, ModelError
from mfm_edge.factors import Factors, derive_secret
from mfm_edge.style import StyleKey, expand
from mfm_edge.video import open_source

__all__ = ["LEAST_PSNR", "TOLERANCES", "Check", "Tolerance", "demo_crops", "main", "verify"]

CROPS = 8
OPENVINO_PRECISIONS: tuple[backends.Precision, ...] = ("f32", "bf16", "int8")
FACTORS = (Factors("correct horse", hair="blond"), Factors("battery staple", smiling=True, beard=False))
LEAST_PSNR = 30.0
"""dB, there and back, the median of the crops. Restoring is exact algebra whatever the network learned: with less, part
of it is broken."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """output: largest difference of a part's output, as a share of its largest value. levels, levels_rms: of uint8, the
    largest difference and its root mean square. psnr_loss: dB there and back, the median of the crops."""

    output: float
    levels: float
    levels_rms: float
    psnr_loss: float


TOLERANCES: dict[backends.Precision, Tolerance] = {
    # One level: two sums that differ in the last bit may be rounded to different levels.
    "f32": Tolerance(output=1e-4, levels=1, levels_rms=0.05, psnr_loss=0.05),
    # bf16 keeps 8 bits: single pixels are far off, faces are not.
    "bf16": Tolerance(output=0.2, levels=40, levels_rms=4, psnr_loss=0.5),
    "f16": Tolerance(output=0.05, levels=40, levels_rms=2, psnr_loss=0.5),
    # Values beyond the ranges are clipped, so single ones may be anywhere: export.quantise measures what that costs.
    "int8": Tolerance(output=1, levels=255, levels_rms=12, psnr_loss=1),
    "int8-symmetric": Tolerance(output=1, levels=255, levels_rms=12, psnr_loss=1),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: of which backend, what, the value found, and the limit that it must not pass."""

    backend: str
    precision: str
    what: str
    found: float
    sense: Literal["<=", ">="]
    limit: float

    @property
    def passed(self) -> bool:
        """False for NaN, too."""
        return self.found <= self.limit if self.sense == "<=" else self.found >= self.limit

    def to_mapping(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        return asdict(self) | {"found": self.found if math.isfinite(self.found) else None, "passed": self.passed}


@dataclass(frozen=True, slots=True)
class _Call:
    part: str
    inputs: dict[str, NDArray[Any]]
    outputs: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the first backend did with crops under one key: there, back, and each call of a part on the way."""

    key: StyleKey
    crops: NDArray[np.uint8]
    protected: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    calls: list[_Call]

    def first(self) -> _Expected:
        """Of the first crop alone."""
        calls = [
            _Call(c.part, {name: value[:1] for name, value in c.inputs.items()}, [o[:1] for o in c.outputs])
            for c in self.calls
        ]
        return _Expected(self.key, self.crops[:1], self.protected[:1], self.restored[:1], calls)


def verify(chosen: Sequence[Backend], crops: NDArray[np.uint8], keys: Sequence[StyleKey]) -> list[Check]:
    """Hold all backends against the first one. crops: (N, 128, 128, 3) uint8 BGR. A slow one gets the first crop under
    the first key."""
    first = chosen[0]
    expected = [_expect(first.run, crops, key) for key in keys]
    found = [Check(first.name, first.precision, "there and back, dB", _psnr(expected), ">=", LEAST_PSNR)]
    for backend in chosen[1:]:
        found += _compare(backend, [expected[0].first()] if backend.slow else expected)
    return found


def _expect(run: RunPart, crops: NDArray[np.uint8], key: StyleKey) -> _Expected:
    calls: list[_Call] = []

    def recorded(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        outputs = run(part, **inputs)
        # Copies: the caller goes on working in these arrays.
        copies = {name: np.array(value) for name, value in inputs.items()}
        calls.append(_Call(part, copies, [np.array(output) for output in outputs]))
        return outputs

    protected = _modify(recorded, crops, key)
    return _Expected(key, crops, protected, _modify(recorded, protected, key.inverse()), calls)


def _modify(run: RunPart, crops: NDArray[np.uint8], key: StyleKey) -> NDArray[np.uint8]:
    return run_parts(run, crops, [key] * len(crops)).faces


def _compare(backend: Backend, expected: Sequence[_Expected]) -> list[Check]:
    tolerance = TOLERANCES[backend.precision]

    def at_most(what: str, values: list[float], limit: float) -> Check:
        return Check(backend.name, backend.precision, what, float(np.max(values)), "<=", limit)  # NaN is the largest

    differences: dict[str, list[float]] = {} if backend.whole else {part: [] for part in PARTS}
    for call in (call for one in expected for call in one.calls if not backend.whole):
        for found, right in zip(backend.run(call.part, **call.inputs), call.outputs, strict=True):
            largest = max(float(np.abs(right).max()), 1e-6)
            differences[call.part].append(float(np.abs(found - right).max()) / largest)
    checks = [at_most(f"{part}, share", values, tolerance.output) for part, values in differences.items()]

    protected = [_modify(backend.run, one.crops, one.key) for one in expected]
    restored = [_modify(backend.run, one.protected, one.key.inverse()) for one in expected]
    for name, own_pictures, pictures in (
        ("anonymise", protected, [one.protected for one in expected]),
        ("restore", restored, [one.restored for one in expected]),
    ):
        levels = np.concatenate(own_pictures).astype(np.float64) - np.concatenate(pictures)
        checks.append(at_most(f"{name}, levels", [np.abs(levels).max()], tolerance.levels))
        checks.append(at_most(f"{name}, levels RMS", [np.sqrt((levels**2).mean())], tolerance.levels_rms))

    back = [
        _Expected(one.key, one.crops, own, _modify(backend.run, own, one.key.inverse()), [])
        for one, own in zip(expected, protected, strict=True)
    ]
    # Against the same crops in the first backend, since single ones may restore worse than LEAST_PSNR.
    limit = _psnr(expected) - tolerance.psnr_loss
    return [*checks, Check(backend.name, backend.precision, "there and back, dB", _psnr(back), ">=", limit)]


def _psnr(results: Sequence[_Expected]) -> float:
    """Median of the crops, dB."""
    errors = [((one.restored.astype(np.float64) - one.crops) ** 2).mean((1, 2, 3)) for one in results]
    return float(np.median(10 * np.log10(255**2 / np.maximum(np.concatenate(errors), 1e-3))))


def demo_crops(count: int = CROPS) -> NDArray[np.uint8]:
    """Faces of the clip that comes with the project: (count, 128, 128, 3) uint8 BGR."""
    detector, found = YuNetDetector(), []
    with open_source(CLIP) as source:
        for frame in islice(source, 0, None, 30):
            found += [align(frame.image, face).crop for face in detector.detect(frame.image)]
    return np.stack(found[:count])


def _validation_crops(folder: Path) -> NDArray[np.uint8]:
    from training.data import load_faces

    return np.ascontiguousarray(load_faces(folder, "val", limit=CROPS).crops[..., ::-1])


def _choose(folder: Path, run: Path | None) -> tuple[list[Backend], list[str]]:
    """The backends to compare, and what is left out and why. Raises ModelError."""
    chosen, left_out = [], []
    if run is None:
        left_out.append("torch: takes --run")
    else:
        chosen.append(_torch_of(folder, run))
    chosen += [backends.onnx_runtime_as_it_is(folder), backends.onnx_runtime(folder), backends.one_graph(folder)]
    _add(chosen, left_out, "ONNX Runtime, own kernel", partial(backends.one_graph, folder, kernel=True))
    for variant in get_args(Precision):
        if variant != "f32":
            _add(chosen, left_out, f"ONNX Runtime {variant}", partial(backends.onnx_runtime, folder, variant))
    for precision in OPENVINO_PRECISIONS:
        _add(chosen, left_out, f"OpenVINO {precision}", partial(backends.openvino, folder, precision))
    return [*chosen, backends.onnx_reference(folder)], left_out


def _add(chosen: list[Backend], left_out: list[str], name: str, make: Callable[[], Backend]) -> None:
    try:
        chosen.append(make())
    except ModelError as error:
        left_out.append(f"{name}: {error}")


def _torch_of(folder: Path, run: Path) -> Backend:
    try:
        backend, steps = backends.pytorch(run)
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(f"--run: cannot load {run} ({error}), takes the folder of a run of this network") from None
    expected = json.loads((folder / CARD).read_text()).get("steps")
    if steps != expected:
        raise ModelError(f"--run: got a run after {steps} steps, takes the one of the model, after {expected}")
    return backend


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("mfm-edge", "numpy", "onnx", "onnxruntime", "openvino", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _to_text(checks: Sequence[Check]) -> str:
    name, what = (max(len(getattr(check, field)) for check in checks) for field in ("backend", "what"))
    return "\n".join(
        f"{'ok' if check.passed else 'FAILED':7} {check.backend:{name}}  {check.what:{what}}  "
        f"{check.found:10.3g}  {check.sense} {check.limit:.4g}"
        for check in checks
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the checks and gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder (default: the shipped model)")
    parser.add_argument("--run", type=Path, help="folder of the training run that the model was exported from")
    parser.add_argument("--data", type=Path, help="CelebA's parquet files, for crops (default: those of the demo clip)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args(argv)
    try:
        model_id = read_model(args.model).model_id
        crops = demo_crops() if args.data is None else _validation_crops(args.data)
        chosen, left_out = _choose(args.model, args.run)
    except (MfmError, FileNotFoundError, ImportError) as error:
        print(f"export.verify: {error}", file=sys.stderr)
        return 2
    keys = [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS]
    checks = verify(chosen, crops, keys)
    passed = all(check.passed for check in checks)
    print(f"model {model_id}, {len(crops)} crops, {len(keys)} keys, compared with {chosen[0].name}")
    print(_to_text(checks))
    for line in left_out:
        print(f"left out: {line}")
    if args.json is not None:
        result = {
            "model_id": model_id,
            "passed": passed,
            "compared_with": chosen[0].name,
            "crops": {"count": len(crops), "of": "demo clip" if args.data is None else "CelebA, validation"},
            "keys": len(keys),
            "versions": _versions(),
            "machine": platform.machine(),
            "tolerances": {name: asdict(tolerance) for name, tolerance in TOLERANCES.items()},
            "least_psnr": LEAST_PSNR,
            "left_out": left_out,
            "checks": [check.to_mapping() for check in checks],
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
