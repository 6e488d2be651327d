"""The attackers learn what can be learned: on pairs where the answer is in the picture."""

from pathlib import Path

import numpy as np
import pytest

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.types import WINDOW
from training.attacks.inversion import Inversion
from training.attacks.oracle import Oracle
from training.attacks.pairs import Pairs, make_pairs
from training.metrics.recovery import face_psnr

MODELS = Path(__file__).parents[3] / "shared" / "models"


def test_oracle_learns_that_wrongly_restored_faces_are_noisy(faces):
    x = faces.crops[:48]
    noisy = np.clip(x + np.random.default_rng(0).normal(0, 25, x.shape), 0, 255).astype(np.uint8)
    oracle = Oracle.train(Pairs(x=x, y=x, r=x, w=noisy), minutes=2)
    assert oracle.right(x, x).mean() > 0.9 > 0.1 > oracle.right(x, noisy).mean()


def test_pairs_are_the_networks_own(faces):
    pairs = make_pairs(OnnxEngine(), faces.take(slice(9)), np.random.default_rng(0))
    assert face_psnr(pairs.x, pairs.r).mean() > face_psnr(pairs.x, pairs.w).mean() + 3
    assert len(np.unique(pairs.y[:, 64, 64], axis=0)) > 1


@pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/models")
def test_inversion_learns_to_undo_a_negative_within_the_window(faces):
    x = faces.crops[:32]
    top, left, side = WINDOW
    y = x.copy()
    y[:, top : top + side, left : left + side] = 255 - y[:, top : top + side, left : left + side]
    inversion = Inversion.train(Pairs(x=x, y=y, r=x, w=y), MODELS, minutes=0.4)
    guess = inversion.restored(y[:8])
    assert inversion.steps > 3 and face_psnr(x[:8], guess).mean() > face_psnr(x[:8], y[:8]).mean()
    guess[:, top : top + side, left : left + side] = x[:8, top : top + side, left : left + side]
    np.testing.assert_array_equal(guess, x[:8])
