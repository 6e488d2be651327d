"""Style features, sliders and the compressed bottleneck go through the engine that ships."""

import numpy as np

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.factors import Factors
from training.experiments.subject import key_of, modify
from training.latent import compressed, sliders, style_features
from training.metrics.recovery import psnr


def test_style_features_are_each_faces_own(faces):
    features = style_features(OnnxEngine(), faces.take(slice(18)))
    assert features.shape == (18, 1024) and np.isfinite(features).all()
    spread = features.std(0)
    assert (spread > 0).any()
    alone = style_features(OnnxEngine(), faces.take(slice(17, 18)))
    np.testing.assert_allclose(alone[0], features[17], atol=1e-3)


def test_sliding_changes_the_surrogate_step_by_step(faces):
    strips = sliders(OnnxEngine(), faces.take(slice(2)), "male", steps=3)
    assert list(strips) == ["male -1.0", "male +0.0", "male +1.0"]
    low, middle, high = (crops.astype(float) for crops in strips.values())
    assert (low != middle).any() and (middle != high).any()


def test_fewer_bits_take_less_room_and_cost_quality(faces):
    engine, some, key = OnnxEngine(), faces.take(slice(2)), key_of(Factors("bits"))
    plain = modify(engine, some.crops, some.landmarks, [key])
    (fine, large), (coarse, small) = (compressed(engine, some, key, bits) for bits in (8, 2))
    assert small < large < 256 * 32 * 32
    assert psnr(plain, fine).mean() > psnr(plain, coarse).mean() and psnr(plain, fine).mean() > 35
