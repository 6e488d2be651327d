"""The pictures that most experiments look at, made once: originals, surrogates, restored and wrongly restored faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mfm_edge.critic import Critic
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.style import StyleKey
from training.data import FaceSet
from training.experiments.subject import Crops, choose_slots, face_keys, in_slots, modify
from training.metrics.channels import blurred, jpeg, rescaled
from training.metrics.judges import Judge

__all__ = ["RIGHT", "WRONG", "Made", "make_faces"]

RIGHT = [Factors(f"correct horse {i}", smiling=True) for i in range(16)]
"""The factors used in turn; a handful is enough, since every secret is as good as random."""
WRONG = {
    "random password": [Factors(f"another {i}", smiling=True) for i in range(16)],
    "one character off": [Factors(f"correct hors3 {i}", smiling=True) for i in range(16)],
    "one attribute off": [Factors(f"correct horse {i}", smiling=True, big_nose=False) for i in range(16)],
}


class Made:
    """Pictures by kind, (N, 128, 128, 3) uint8 RGB each, row i of every kind from the same original.

    x: original; y, y2: anonymised under two sets of factors, in slots that are chosen as the runtime does; y: blur,
    y: JPEG, y: 64 px: what becomes of y;
    r, r: JPEG: restored from y and from its JPEG at quality 75; w: KIND: restored with each kind of WRONG factors.
    """

    def __init__(self, crops: Mapping[str, Crops], judges: Sequence[Judge]) -> None:
        self.crops = dict(crops)
        self.judges = list(judges)
        self.vectors = cache(self._vectors)

    def __getitem__(self, kind: str) -> Crops:
        return self.crops[kind]

    def __len__(self) -> int:
        return len(self.crops["x"])

    def matched(self, judge: Judge, a: str, b: str) -> NDArray[np.bool_]:
        """(N,) bool: the judge takes each row's faces of the two kinds for one person."""
        return judge.same(self.vectors(judge, a), self.vectors(judge, b))

    def _vectors(self, judge: Judge, kind: str) -> Tensor:
        return judge.embed(self.crops[kind])


def make_faces(engine: OnnxEngine, originals: FaceSet) -> dict[str, Crops]:
    """All kinds that Made describes."""

    def changed(crops: Crops, keys: Sequence[StyleKey]) -> Crops:
        return modify(engine, crops, originals.landmarks, keys)

    x = originals.crops
    keys, others = ([face_keys(f) for f in factors] for factors in (RIGHT, WRONG["random password"]))
    choice = SlotChoice(engine, Critic())
    slots = choose_slots(choice, x, originals.landmarks, keys)
    right = in_slots(keys, slots)
    back = [key.inverse() for key in right]
    y = changed(x, right)
    y2 = changed(x, in_slots(others, choose_slots(choice, x, originals.landmarks, others)))
    faces = {"x": x, "y": y, "y2": y2}
    faces |= {"y: blur": blurred(y), "y: JPEG": jpeg(y, 50), "y: 64 px": rescaled(y, 64)}
    faces |= {"r": changed(y, back), "r: JPEG": changed(jpeg(y, 75), back)}
    for kind, factors in WRONG.items():
        wrong = in_slots([face_keys(f) for f in factors], slots)  # a sidecar tells the slot to everybody
        faces[f"w: {kind}"] = changed(y, [key.inverse() for key in wrong])
    return faces
