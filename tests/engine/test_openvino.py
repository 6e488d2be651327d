from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("openvino", reason="needs the extra: openvino")

from mfm_edge.align import align
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.engine.openvino import OpenVinoEngine
from mfm_edge.errors import ModelError
from mfm_edge.factors import Factors, derive_secret
from mfm_edge.key_evidence import TRUSTED, deviations
from mfm_edge.style import expand
from mfm_edge.video import open_source


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    detector, found = YuNetDetector(), []
    with open_source(CLIP) as source:
        for index, frame in enumerate(source):
            if index % 30 == 0:
                found += [align(frame.image, face).crop for face in detector.detect(frame.image)]
    return np.stack(found[:5])


@pytest.fixture(scope="module")
def key():
    factors = Factors("correct horse", hair="blond")
    return expand(derive_secret(factors), factors.attribute_vector())


def test_f32_gives_what_onnx_runtime_gives(crops, key):
    expected, engine = OnnxEngine(threads=2), OpenVinoEngine(threads=2, precision="f32")
    assert engine.model_id == expected.model_id and engine.precision == "f32"
    for count in (1, 2, len(crops)):
        found, right = (one.modify(crops[:count], [key] * count) for one in (engine, expected))
        difference = found.faces.astype(int) - right.faces
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 0.01


def test_default_restores_as_well_as_onnx_runtime(crops, key):
    def loss(engine) -> float:
        protected = engine.modify(crops, [key] * len(crops)).faces
        restored = engine.modify(protected, [key.inverse()] * len(crops))
        assert min(map(deviations, restored.evidence)) > TRUSTED
        return float(((restored.faces.astype(float) - crops) ** 2).mean())

    assert loss(OpenVinoEngine(threads=2)) < 1.12 * loss(OnnxEngine(threads=2))  # half a decibel


def test_onnx_runtime_restores_what_it_protected(crops, key):
    expected = OnnxEngine(threads=2)

    def loss(protecting) -> float:
        protected = protecting.modify(crops, [key] * len(crops)).faces
        restored = expected.modify(protected, [key.inverse()] * len(crops)).faces
        return float(((restored.astype(float) - crops) ** 2).mean())

    assert loss(OpenVinoEngine(threads=2)) < 1.41 * loss(expected)  # a decibel and a half


def test_callers_at_the_same_time_get_their_own_faces(crops, key):
    engine = OpenVinoEngine(threads=1, callers=2)
    expected = [engine.modify(crop[None], [key]).faces for crop in crops]
    which = list(range(len(crops))) * 4
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda index: engine.modify(crops[index][None], [key]).faces, which)
    for index, faces in zip(which, found, strict=True):
        np.testing.assert_array_equal(faces, expected[index])


def test_unknown_precision_is_refused():
    with pytest.raises(ModelError, match="precision: got 'f16'"):
        OpenVinoEngine(precision="f16")
