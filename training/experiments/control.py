"""Does the surrogate have what was asked for, and what it was not asked to change?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mfm_edge.critic import Critic
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import ATTRIBUTES, Factors
from mfm_edge.slot_choice import SlotChoice
from training.data import FaceSet
from training.experiments.subject import choose_slots, face_keys, in_slots, modify
from training.metrics.attributes import AttributeJudge, balanced_accuracy
from training.report import Goal, Section, Table

__all__ = ["control", "requests"]

_HAIR = ("black", "blond", "brown", "gray")
_WORDS = {"male": ("gender", "male", "female"), "young": ("age", "young", "old")}
_SWITCHES = ATTRIBUTES[6:]


def requests() -> Iterator[tuple[str, Factors, int, bool]]:
    """Every value that a factor takes: its name, the factors that ask for it, the attribute (index into ATTRIBUTES)
    that tells whether it is there, and whether that shall be present."""
    for i, colour in enumerate(_HAIR):
        yield f"hair: {colour}", Factors("control", hair=colour), i, True
    for name, (factor, yes, no) in _WORDS.items():
        index = ATTRIBUTES.index(name)
        yield f"{factor}: {yes}", Factors.from_mapping({"password": "control", factor: yes}), index, True
        yield f"{factor}: {no}", Factors.from_mapping({"password": "control", factor: no}), index, False
    for name in _SWITCHES:
        index = ATTRIBUTES.index(name)
        for value in (True, False):
            yield (
                f"{name}: {'yes' if value else 'no'}",
                Factors.from_mapping({"password": "control", name: value}),
                index,
                value,
            )


def control(engine: OnnxEngine, faces: FaceSet, unseen: FaceSet, judge: AttributeJudge) -> Section:
    """faces: to be anonymised, once for each request, in slots that the runtime chooses. unseen: labelled
    people to tell how good the judge is."""
    choice = SlotChoice(engine, Critic())
    trust = _right(judge.present(unseen.crops), unseen.attributes)

    def found(factors: Factors) -> NDArray[np.bool_]:
        # Keys for each face: whom a single one asks for has attributes, too, that nobody asked for.
        keys = [face_keys(factors, b"control %04d" % i) for i in range(len(faces))]
        own = in_slots(keys, choose_slots(choice, faces.crops, faces.landmarks, keys))
        return judge.present(modify(engine, faces.crops, faces.landmarks, own))

    before, plain = judge.present(faces.crops), found(Factors("control"))
    rows: list[list[str | float | None]] = []
    kept_all: list[NDArray[np.bool_]] = []
    for name, factors, index, wanted in requests():
        after = found(factors)
        had = before[:, index] == wanted
        there, unasked = after[:, index] == wanted, plain[:, index] == wanted
        others = [i for i in range(len(ATTRIBUTES)) if i != index and not (index < 4 and i < 4)]
        kept_all.append((after[:, others] == before[:, others]).mean(1))
        lacked = None if had.all() else float(there[~had].mean())
        lacked_plain = None if had.all() else float(unasked[~had].mean())
        rows.append([name, float(there.mean()), lacked, lacked_plain, float(kept_all[-1].mean()), trust[wanted][index]])
    asked = np.array([float(row[1]) for row in rows])
    kept = float(np.concatenate(kept_all).mean())
    plain_kept = float((plain == before).mean())
    balanced = float(np.nanmean(balanced_accuracy(judge.present(unseen.crops), unseen.attributes)))
    return Section(
        "Control",
        goals=[
            Goal("control: surrogates have what was asked for (mean)", float(asked.mean()), ">= 0.95 a factor"),
            Goal("control: the same, the worst factor", float(asked.min()), ">= 0.95"),
            Goal("control: other attributes unchanged (mean)", kept, ">= 0.90"),
            Goal("control: attributes unchanged when nothing is asked for", plain_kept, "reported"),
            Goal("control: the judge itself on real unseen people, balanced accuracy", balanced, "reported"),
        ],
        tables=[
            Table(
                f"{len(faces)} faces under each request",
                ("asked for", "have it", "of those that lacked it", "the same, not asked for", "others unchanged",
                 "the judge on real people"),
                rows,
            )
        ],
        notes=[
            "Shares by a network trained on labels of the training identities, which took no part in training the "
            "generator. It errs on real people, too: the last column is the share of real unseen people with that "
            "label in whom it sees it. A share that it gives cannot be trusted beyond that."
        ],
    )  # fmt: skip


def _right(found: NDArray[np.bool_], labels: NDArray[np.bool_]) -> dict[bool, list[float | None]]:
    """Whether the label says so -> by attribute, the share of those people in whom the judge says so, too."""
    shares: dict[bool, list[float | None]] = {}
    for wanted in (True, False):
        of = labels == wanted
        shares[wanted] = [
            float((found[of[:, i], i] == wanted).mean()) if of[:, i].any() else None for i in range(labels.shape[1])
        ]
    return shares
