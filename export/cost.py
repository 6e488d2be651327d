"""What a variant of a model costs: restored faces and de-identification, on faces that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export import backends
from mfm_edge.engine.folder import Model
from mfm_edge.engine.steps import RunPart, run_parts
from mfm_edge.style import StyleKey

if TYPE_CHECKING:  # training needs more than export does
    from training.data import FaceSet

__all__ = ["BATCH", "MOST_DB", "MOST_POINTS", "Faces", "Measure", "back", "psnr", "run_with", "there", "too_costly"]

MOST_DB = 0.5
"""of restored PSNR, the median of the faces."""
MOST_POINTS = 0.5
"""of de-identification, in percent of the faces, by each recogniser that took no part in training."""
BATCH = 8

Crops = NDArray[np.uint8]


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


def run_with(parts: dict[str, bytes], others: RunPart | None = None) -> RunPart:
    """These parts, and where some are missing those of `others`."""
    options = onnxruntime.SessionOptions()
    # It takes minutes, beside whatever else the machine does: threads that spin while they wait would burn their share
    # of a busy core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    own = backends.from_parts(parts, options)

    def run_part(part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        return own(part, **inputs) if others is None or part in parts else others(part, **inputs)

    return run_part


def there(run: RunPart, faces: Faces, keys: Sequence[StyleKey]) -> Crops:
    """Each batch under the next key."""
    done = []
    for index, start in enumerate(range(0, len(faces.crops), BATCH)):
        some = slice(start, start + BATCH)
        crops = faces.crops[some]
        done.append(run_parts(run, crops, [keys[index % len(keys)]] * len(crops), faces.landmarks[some]).faces)
    return np.concatenate(done)


def back(run: RunPart, protected: Crops, faces: Faces, keys: Sequence[StyleKey]) -> Crops:
    """What `there` made of these faces, restored."""
    return there(run, Faces(protected, faces.landmarks), [key.inverse() for key in keys])


def psnr(faces: Crops, others: Crops) -> float:
    from training.metrics import recovery

    return float(np.median(recovery.psnr(faces, others)))


class Measure:
    """What variants cost on faces that nothing was fitted to.

    judges: recognisers that took no part in training, as training.metrics.judges has them.
    """

    def __init__(self, model: Model, faces: Faces, keys: Sequence[StyleKey], judges: Sequence[Any]) -> None:
        self._faces, self._keys = faces, keys
        self._judges = [(judge, judge.embed(faces.crops[..., ::-1])) for judge in judges]
        self._base = run_with(model.parts)
        self._protected = there(self._base, faces, keys)
        self._psnr = psnr(faces.crops, back(self._base, self._protected, faces, keys))
        self._deidentified = self._deidentify(self._protected)

    def __call__(self, parts: dict[str, bytes]) -> dict[str, Any]:
        """For the card: each figure of the variant of these parts beside that of float32."""
        run, faces, keys = run_with(parts, self._base), self._faces, self._keys
        protected = there(run, faces, keys)
        restored = back(run, protected, faces, keys)
        by_base = back(self._base, protected, faces, keys)
        of_base = back(run, self._protected, faces, keys)
        found = self._deidentify(protected)
        return {
            "faces": len(faces.crops),
            "data": "CelebA, official validation identities, never trained on",
            "restored PSNR, dB (median)": _pair(self._psnr, psnr(faces.crops, restored), 3),
            "the same, anonymised here, restored in f32": round(psnr(faces.crops, by_base), 3),
            "the same, anonymised in f32, restored here": round(psnr(faces.crops, of_base), 3),
            "surrogate against that of f32, dB (median)": round(psnr(self._protected, protected), 3),
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
