"""Figures 18 to 22 of the paper: pictures of what factors and passwords do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from training.data import FaceSet
from training.experiments.passwords import BIT_PASSWORD, flipped, places
from training.experiments.pictures import save_grid
from training.experiments.subject import Crops, key_of, modify
from training.report import Section

__all__ = ["grids"]

_PASSWORDS = ("0110", "01101001", BIT_PASSWORD)


def grids(engine: OnnxEngine, faces: FaceSet, folder: Path) -> Section:
    """faces: a handful, one row each. Writes figure-18.png to figure-22.png into folder."""

    def shown(factors: Factors) -> Crops:
        return modify(engine, faces.crops, faces.landmarks, [key_of(factors)])

    def restored(factors: Factors) -> Crops:
        return modify(engine, shown(factors), faces.landmarks, [key_of(factors).inverse()])

    one_bit = places(len(BIT_PASSWORD), 1, 6, np.random.default_rng(22))
    hair = {f"password + {colour}": Factors(_PASSWORDS[1], hair=colour) for colour in ("black", "brown", "blond")}
    both = Factors("correct horse", hair="blond")
    figures: dict[str, dict[str, Crops]] = {
        "Figure 18: smile and mustache": {
            "smile": shown(Factors("correct horse", smiling=True)),
            "mustache": shown(Factors("correct horse", mustache=True)),
        },
        "Figure 19: passwords, with hair colour, and restored": {
            **{f"{len(word)} bits": shown(Factors(word)) for word in _PASSWORDS},
            **{title: shown(factors) for title, factors in hair.items()},
            "restored": restored(hair["password + blond"]),
        },
        "Figure 20: one password, hair colours": {
            colour: shown(Factors("correct horse", hair=colour)) for colour in ("black", "brown", "gray", "blond")
        },
        "Figure 21: factors and passwords, and restored": {
            "mustache + password": shown(Factors("correct horse", mustache=True)),
            "smile + password": shown(Factors("correct horse", smiling=True)),
            "another password": shown(Factors("battery staple")),
            "blond + password": shown(both),
            "restored": restored(both),
        },
        "Figure 22: passwords one bit apart": {
            f"a{i + 1}": shown(Factors(flipped(BIT_PASSWORD, at))) for i, at in enumerate(one_bit)
        },
    }
    section = Section("Figures 18 to 22: pictures")
    for title, columns in figures.items():
        name = title.partition(":")[0].lower().replace(" ", "-")
        section.pictures[title] = save_grid(folder / f"{name}.png", {"input": faces.crops, **columns})
    return section
