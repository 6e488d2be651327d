"""python -m export.quantise: a model's variants in fewer bits, each with what it costs, into its folder and card.

f16 for GPUs: all products. int8 for ONNX Runtime and OpenVINO on CPUs, int8-symmetric for TensorRT: convolutions only.
Ranges come from faces of the training identities that go there and back. Where a variant costs too much on them, the
layers that harm most are left in float32. What is told in the card is measured on validation identities; a variant that
costs more than the limits there is not written into the card, so no engine loads it.

Each variant is written as soon as it is measured; --precision goes on with the others after an interruption.

Exit code 1 when a variant costs more than the limits, 2 when there is nothing to work on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from export.conditional import compute_always, leave_out
from export.cost import BATCH, MOST_DB, Faces, Measure, back, psnr, run_with, there, too_costly
from export.narrow import F16_OPERATORS, INT8_OPERATORS, Ranges, activation_ranges, layers_of, to_f16, to_int8
from export.verify import FACTORS
from mfm_edge.engine.folder import CARD, PARTS, SHIPPED_MODEL, Model, Precision, read_model
from mfm_edge.engine.steps import RunPart
from mfm_edge.errors import MfmError
from mfm_edge.factors import derive_secret
from mfm_edge.style import StyleKey, expand

__all__ = ["Calibration", "Variant", "main", "make_variant", "search", "write"]

SEARCH_DB = 0.8 * MOST_DB
"""On the training faces: some room for others."""
CALIBRATION_FACES = 16

Calls = dict[str, list[dict[str, NDArray[Any]]]]
"""Inputs of every call by part."""
Layer = tuple[str, str]
"""Part and weight."""


@dataclass(frozen=True, slots=True)
class Variant:
    """parts: those that differ from the float32 ones. kept: layers left in float32, of `layers` in all."""

    precision: Precision
    parts: dict[str, bytes]
    kept: list[Layer]
    layers: int


class Calibration:
    """What float32 makes of some faces there and back. faces: of people that nothing is measured on."""

    def __init__(self, model: Model, faces: Faces, keys: Sequence[StyleKey]) -> None:
        self.protos = {part: compute_always(onnx.load_from_string(content)) for part, content in model.parts.items()}
        self._faces, self._keys = faces, keys
        self._calls: Calls = {part: [] for part in PARTS}
        self._base = run_with(model.parts)
        recorded = _recording(self._base, self._calls)
        self._restored = back(recorded, there(recorded, faces, keys), faces, keys)

    @cached_property
    def ranges(self) -> dict[str, Ranges]:
        """Of the activations around each convolution, by part."""
        return {
            part: activation_ranges(proto, self._calls[part])
            for part, proto in self.protos.items()
            if layers_of(proto, INT8_OPERATORS)
        }

    def loss(self, parts: dict[str, bytes], count: int | None = None) -> float:
        """dB of restored PSNR that these parts lose in the place of their own, on the first `count` faces or all."""
        run, some = run_with(parts, self._base), self._faces.first(count or len(self._faces.crops))
        restored = back(run, there(run, some, self._keys), some, self._keys)
        return psnr(some.crops, self._restored[: len(some.crops)]) - psnr(some.crops, restored)


def make_variant(calibration: Calibration, precision: Precision) -> Variant:
    """Narrow as many layers as SEARCH_DB allows on the calibration's faces."""
    operators = F16_OPERATORS if precision == "f16" else INT8_OPERATORS
    layers = {
        (part, layer): nodes
        for part, proto in calibration.protos.items()
        for layer, nodes in layers_of(proto, operators).items()
    }

    def parts_of(chosen: Sequence[Layer]) -> dict[str, bytes]:
        nodes: dict[str, list[str]] = {}
        for part, layer in chosen:
            nodes.setdefault(part, []).extend(layers[part, layer])
        return {part: _narrow(calibration, part, names, precision) for part, names in nodes.items()}

    kept = search(
        list(layers),
        loss=lambda chosen: calibration.loss(parts_of(chosen)),
        harm=lambda layer: calibration.loss(parts_of([layer]), BATCH),  # enough to rank a layer alone
        name=precision,
    )
    return Variant(precision, parts_of([layer for layer in layers if layer not in set(kept)]), kept, len(layers))


def search(
    layers: Sequence[Layer], loss: Callable[[Sequence[Layer]], float], harm: Callable[[Layer], float], name: str
) -> list[Layer]:
    """The layers to keep in float32, those of most harm, so that all others together lose at most SEARCH_DB.

    name: of what progress is shown for, on standard error.
    """
    everything = loss(layers)
    print(f"{name}: all {len(layers)} layers lose {everything:.2f} dB", file=sys.stderr)
    if everything <= SEARCH_DB:
        return []
    harms = {layer: harm(layer) for layer in tqdm(layers, desc=f"{name}: each layer alone", unit="layer")}
    ordered = sorted(layers, key=harms.__getitem__)
    fits, too_many = 0, len(ordered)  # by halving: more layers cost more, nearly always
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if loss(ordered[:middle]) <= SEARCH_DB else (fits, middle)
    return ordered[fits:]


def _narrow(calibration: Calibration, part: str, nodes: list[str], precision: Precision) -> bytes:
    """The part with these nodes narrow."""
    proto = calibration.protos[part]
    if precision == "f16":
        return to_f16(proto, nodes).SerializeToString()
    symmetric = precision == "int8-symmetric"
    narrow = to_int8(proto, nodes, calibration.ranges[part], symmetric=symmetric)
    if not symmetric:  # for CPUs
        leave_out(narrow)
    return narrow.SerializeToString()


def _recording(run: RunPart, calls: Calls) -> RunPart:
    def recorded(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        calls[part].append({name: np.array(value) for name, value in inputs.items()})
        return run(part, **inputs)

    return recorded


def write(folder: Path, variant: Variant, measured: dict[str, Any]) -> None:
    """The variant's files, and what the card says of it."""
    target = folder / variant.precision
    target.mkdir(exist_ok=True)
    for part, content in variant.parts.items():
        (target / f"{part}.onnx").write_bytes(content)
    card = json.loads((folder / CARD).read_text())
    card.setdefault("variants", {})[variant.precision] = {
        "sha256": {part: hashlib.sha256(content).hexdigest() for part, content in variant.parts.items()},
        "layers": variant.layers,
        "layers in f32": [f"{part}: {layer}" for part, layer in variant.kept],
        "measured": measured,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Makes the variants and gives the exit code."""
    precisions = [name for name in get_args(Precision) if name != "f32"]
    parser = argparse.ArgumentParser(
        prog="python -m export.quantise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder (default: the shipped model)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/celeba"), help="CelebA's parquet files")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../../models of data)")
    parser.add_argument("--precision", choices=precisions, action="append", help="only this one; may be repeated")
    parser.add_argument("--faces", type=int, default=200, help="validation faces to measure on (default: %(default)s)")
    args = parser.parse_args(argv)
    from training.data import load_faces, models_of
    from training.metrics.judges import unseen_judges

    try:
        model = read_model(args.model)
        known = load_faces(args.data, "train", limit=CALIBRATION_FACES)
        everyone = load_faces(args.data, "val")
        judges = unseen_judges(args.models or models_of(args.data))
    except (MfmError, OSError, RuntimeError, ValueError) as error:  # torch raises the last two for a missing recogniser
        print(f"export.quantise: {error}", file=sys.stderr)
        return 2
    spread = np.linspace(0, len(everyone) - 1, args.faces).astype(np.intp)
    keys = [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS]
    measured_on = Faces.of(everyone.take(spread).with_exact_landmarks())
    calibration = Calibration(model, Faces.of(known.with_exact_landmarks()), keys)
    measure = Measure(model, measured_on, keys, judges)
    failed = False
    for precision in args.precision or precisions:
        variant = make_variant(calibration, precision)
        measured = measure(variant.parts)
        narrow = variant.layers - len(variant.kept)
        print(f"{precision}: {narrow} of {variant.layers} layers, {json.dumps(measured)}", flush=True)
        if reasons := too_costly(measured):
            failed = True
            print(f"{precision}: not written, {'; '.join(reasons)}")
        else:
            write(args.model, variant, measured)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
