"""A training run that learned nothing, exported once for all tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:  # the tests that need torch skip themselves where it is missing
    from training.networks import Modifier
    from training.style_space import StyleSpace

STEPS = 7


@dataclass(frozen=True, slots=True)
class Exported:
    """run: the folder that training writes; network: what is in it; model: the folder that was exported."""

    run: Path
    network: Modifier
    model: Path
    differences: dict[str, float]


def random_space() -> StyleSpace:
    """Fitted on random pictures, few of them: only the shapes matter here."""
    from training.data import FaceSet
    from training.fit_style_space import fit_style_space

    rng = np.random.default_rng(0)
    crops = [cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in rng.normal(128, 60, (80, 16, 16, 3))]
    return fit_style_space(
        FaceSet(
            crops=np.stack(crops).clip(0, 255).astype(np.uint8),
            identities=np.arange(80, dtype=np.int64),
            attributes=rng.random((80, 17)) < 0.5,
            landmarks=rng.normal(64, 10, (80, 5, 2)).astype(np.float32),
        )
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    import torch

    from export.to_onnx import export, load_run
    from training.networks import Modifier

    run, model = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    space = random_space()
    network = Modifier(space)
    with torch.no_grad():  # what starts as zero would hide mistakes
        for head in (network.decoder.refine[-1], network.decoder.finish.light[-1], network.decoder.finish.colour):
            head.weight.normal_(0, 0.05)
    torch.save(space.tensors(), run / "phase1.pt")
    torch.save({"average": network.state_dict(), "steps": STEPS}, run / "checkpoint.pt")
    found = load_run(run)
    return Exported(run, found.network, model, export(found, model))
