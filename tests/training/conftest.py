import cv2
import numpy as np
import pytest

from mfm_edge.align import TEMPLATE
from training.data import FaceSet
from training.fit_style_space import fit_style_space
from training.style_space import StyleSpace


@pytest.fixture(scope="session")
def faces() -> FaceSet:
    """Random pictures, smooth with some detail: variance in every direction to fit a space, no data set needed."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 60, (600, 16, 16, 3))
    crops = np.stack([cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in coarse]) + 128
    crops += rng.normal(0, 12, crops.shape)
    return FaceSet(
        crops=crops.clip(0, 255).astype(np.uint8),
        identities=np.arange(600, dtype=np.int64) // 2,
        attributes=rng.random((600, 17)) < 0.5,
        landmarks=(TEMPLATE + rng.normal(0, 3, (600, 5, 2))).astype(np.float32),
    )


@pytest.fixture(scope="session")
def space(faces: FaceSet) -> StyleSpace:
    return fit_style_space(faces)
