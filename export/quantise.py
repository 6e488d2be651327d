"""python -m export.quantise: a model's variants in fewer bits, each with what it costs, into its folder and card.

f16 for GPUs: all products. int8 for ONNX Runtime and OpenVINO on CPUs, int8-symmetric for TensorRT: convolutions only.
Ranges come from faces of the training identities that go there and back. Where a variant costs too much on them, the
layers that harm most are left in float32. What is told in the card is measured on validation identities; a variant that
costs more than the limits there is not written into the card, so no engine loads it.

Exit code 1 when a variant costs more than the limits, 2 when there is nothing to work on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from export import backends
from export.narrow import F16_OPERATORS, INT8_OPERATORS, activation_ranges, layers_of, to_f16, to_int8
from export.verify import FACTORS
from mfm_edge.engine.folder import CARD, PARTS, SHIPPED_MODEL, Model, Precision, read_model
from mfm_edge.engine.steps import RunPart, run_parts
from mfm_edge.errors import MfmError
from mfm_edge.factors import derive_secret
from mfm_edge.style import StyleKey, expand

if TYPE_CHECKING:  # training needs more than export does
    from training.data import FaceSet

__all__ = [
    "MOST_DB",
    "MOST_POINTS",
    "Faces",
    "Measure",
    "Variant",
    "main",
    "make_variant",
    "search",
    "too_costly",
    "write",
]

MOST_DB = 0.5
"""of restored PSNR, the median of the faces."""
MOST_POINTS = 0.5
"""of de-identification, in percent of the faces, by each recogniser that took no part in training."""
SEARCH_DB = 0.8 * MOST_DB
"""On the training faces: some room for others."""
CALIBRATION_FACES = 32
BATCH = 8

Crops = NDArray[np.uint8]
Protos = dict[str, onnx.ModelProto]
Calls = dict[str, list[dict[str, NDArray[Any]]]]
"""Inputs of every call by part."""
Layer = tuple[str, str]
"""Part and weight."""


@dataclass(frozen=True, slots=True)
class Faces:
    """crops: (N, 128, 128, 3) uint8 BGR. landmarks: (N, 5, 2) float32, crop px."""

    crops: Crops
    landmarks: NDArray[np.float32]

    @classmethod
    def of(cls, faces: FaceSet) -> Faces:
        return cls(np.ascontiguousarray(faces.crops[..., ::-1]), faces.landmarks)

    def first(self, count: int) -> Faces:
        return Faces(self.crops[:count], self.landmarks[:count])


@dataclass(frozen=True, slots=True)
class Variant:
    """parts: those that differ from the float32 ones. kept: layers left in float32, of `layers` in all."""

    precision: Precision
    parts: dict[str, bytes]
    kept: list[Layer]
    layers: int


def make_variant(model: Model, precision: Precision, faces: Faces, keys: Sequence[StyleKey]) -> Variant:
    """Narrow as many layers as SEARCH_DB allows on these faces."""
    protos = {part: onnx.load_from_string(content) for part, content in model.parts.items()}
    calls: Calls = {part: [] for part in PARTS}
    base = _recording(backends.from_parts(model.parts), calls)
    protected = _there(base, faces, keys)
    expected = _back(base, protected, faces, keys)
    narrow = _narrowing(protos, precision, calls)
    operators = F16_OPERATORS if precision == "f16" else INT8_OPERATORS
    layers = {
        (part, layer): nodes for part, proto in protos.items() for layer, nodes in layers_of(proto, operators).items()
    }

    def parts_of(chosen: Sequence[Layer]) -> dict[str, bytes]:
        nodes: dict[str, list[str]] = {}
        for part, layer in chosen:
            nodes.setdefault(part, []).extend(layers[part, layer])
        return {part: narrow(part, names).SerializeToString() for part, names in nodes.items()}

    def loss(chosen: Sequence[Layer], count: int = len(faces.crops)) -> float:
        run, some = backends.from_parts(model.parts | parts_of(chosen)), faces.first(count)
        restored = _back(run, _there(run, some, keys), some, keys)
        return _psnr(some.crops, expected[:count]) - _psnr(some.crops, restored)

    # A batch is enough to rank a layer alone.
    kept = search(list(layers), loss, harm=lambda layer: loss([layer], BATCH))
    return Variant(precision, parts_of([layer for layer in layers if layer not in set(kept)]), kept, len(layers))


def search(
    layers: Sequence[Layer], loss: Callable[[Sequence[Layer]], float], harm: Callable[[Layer], float]
) -> list[Layer]:
    """The layers to keep in float32, those of most harm, so that all others together lose at most SEARCH_DB."""
    if loss(layers) <= SEARCH_DB:
        return []
    ordered = sorted(layers, key=harm)
    fits, too_many = 0, len(ordered)  # by halving: more layers cost more, nearly always
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if loss(ordered[:middle]) <= SEARCH_DB else (fits, middle)
    return ordered[fits:]


def _narrowing(protos: Protos, precision: Precision, calls: Calls) -> Callable[[str, list[str]], onnx.ModelProto]:
    """Of a part and names of its nodes -> the part with these nodes narrow."""
    if precision == "f16":
        return lambda part, nodes: to_f16(protos[part], nodes)
    ranges = {
        part: activation_ranges(proto, calls[part])
        for part, proto in protos.items()
        if layers_of(proto, INT8_OPERATORS)
    }
    return lambda part, nodes: to_int8(protos[part], nodes, ranges[part], symmetric=precision == "int8-symmetric")


def _recording(run: RunPart, calls: Calls) -> RunPart:
    def recorded(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        calls[part].append({name: np.array(value) for name, value in inputs.items()})
        return run(part, **inputs)

    return recorded


def _there(run: RunPart, faces: Faces, keys: Sequence[StyleKey]) -> Crops:
    """Each batch under the next key."""
    done = []
    for index, start in enumerate(range(0, len(faces.crops), BATCH)):
        some = slice(start, start + BATCH)
        done.append(run_parts(run, faces.crops[some], keys[index % len(keys)], faces.landmarks[some]))
    return np.concatenate(done)


def _back(run: RunPart, protected: Crops, faces: Faces, keys: Sequence[StyleKey]) -> Crops:
    """What _there made of these faces, restored."""
    return _there(run, Faces(protected, faces.landmarks), [key.inverse() for key in keys])


def _psnr(faces: Crops, others: Crops) -> float:
    from training.metrics.recovery import psnr

    return float(np.median(psnr(faces, others)))


class Measure:
    """What variants cost on faces that nothing was fitted to.

    judges: recognisers that took no part in training, as training.metrics.judges has them.
    """

    def __init__(self, model: Model, faces: Faces, keys: Sequence[StyleKey], judges: Sequence[Any]) -> None:
        self._model, self._faces, self._keys = model, faces, keys
        self._judges = [(judge, judge.embed(faces.crops[..., ::-1])) for judge in judges]
        self._base = backends.from_parts(model.parts)
        self._protected = _there(self._base, faces, keys)
        self._psnr = _psnr(faces.crops, _back(self._base, self._protected, faces, keys))
        self._deidentified = self._deidentify(self._protected)

    def __call__(self, variant: Variant) -> dict[str, Any]:
        """For the card: each figure of the variant beside that of float32."""
        run, faces, keys = backends.from_parts(self._model.parts | variant.parts), self._faces, self._keys
        protected = _there(run, faces, keys)
        restored = _back(run, protected, faces, keys)
        by_base = _back(self._base, protected, faces, keys)
        of_base = _back(run, self._protected, faces, keys)
        found = self._deidentify(protected)
        return {
            "faces": len(faces.crops),
            "data": "CelebA, official validation identities, never trained on",
            "restored PSNR, dB (median)": _pair(self._psnr, _psnr(faces.crops, restored), 3),
            "the same, anonymised here, restored in f32": round(_psnr(faces.crops, by_base), 3),
            "the same, anonymised in f32, restored here": round(_psnr(faces.crops, of_base), 3),
            "surrogate against that of f32, dB (median)": round(_psnr(self._protected, protected), 3),
            "de-identified": {name: _pair(share, found[name], 4) for name, share in self._deidentified.items()},
        }

    def _deidentify(self, protected: Crops) -> dict[str, float]:
        shown = protected[..., ::-1]
        return {
            judge.name: 1 - float(judge.same(vectors, judge.embed(shown)).mean()) for judge, vectors in self._judges
        }


def _pair(base: float, variant: float, digits: int) -> dict[str, float]:
    return {"f32": round(base, digits), "variant": round(variant, digits)}


def too_costly(measured: dict[str, Any]) -> list[str]:
    """What of a measurement passes the limits, in words."""
    restored = measured["restored PSNR, dB (median)"]
    lost = restored["f32"] - restored["variant"]
    found = [] if lost <= MOST_DB else [f"restoring loses {lost:.2f} dB, allowed {MOST_DB}"]
    for name, shares in measured["de-identified"].items():
        points = 100 * (shares["f32"] - shares["variant"])
        if points > MOST_POINTS + 1e-9:
            found.append(f"de-identification by {name} loses {points:.2f} points, allowed {MOST_POINTS}")
    return found


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
    from training.data import load_faces
    from training.metrics.judges import JUDGES, Judge

    recognisers = args.models or args.data.resolve().parent.parent / "models"
    try:
        model = read_model(args.model)
        calibration = load_faces(args.data, "train", limit=CALIBRATION_FACES)
        everyone = load_faces(args.data, "val")
        judges = [Judge(name, recognisers) for name, spec in JUDGES.items() if not spec.used_in_training]
    except (MfmError, OSError, RuntimeError, ValueError) as error:  # torch raises the last two for a missing recogniser
        print(f"export.quantise: {error}", file=sys.stderr)
        return 2
    spread = np.linspace(0, len(everyone) - 1, args.faces).astype(np.intp)
    keys = [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS]
    measure = Measure(model, Faces.of(everyone.take(spread)), keys, judges)
    failed = False
    for precision in args.precision or precisions:
        variant = make_variant(model, precision, Faces.of(calibration), keys)
        measured = measure(variant)
        print(f"{precision}: {variant.layers - len(variant.kept)} of {variant.layers} layers, {json.dumps(measured)}")
        if reasons := too_costly(measured):
            failed = True
            print(f"{precision}: not written, {'; '.join(reasons)}")
        else:
            write(args.model, variant, measured)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
