import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest

from mfm_edge.align import TEMPLATE
from mfm_edge.engine.onnx import SHIPPED_MODEL, OnnxEngine
from mfm_edge.engine.steps import run_parts
from mfm_edge.errors import ArgumentError, ModelError
from mfm_edge.runtime import MfmRuntime
from mfm_edge.style import expand


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    return OnnxEngine()


@pytest.fixture
def key():
    return expand(b"k" * 32, np.zeros(17, np.float32))


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)


def test_batch_gives_what_single_crops_give(engine, key, crops):
    together = engine.modify(crops, [key] * 3).faces
    alone = np.concatenate([engine.modify(crops[i : i + 1], [key]).faces for i in range(3)])
    assert together.shape == crops.shape and together.dtype == np.uint8
    assert np.abs(together.astype(int) - alone).max() <= 1  # rounding of a last bit


def test_nothing_outside_the_window_changes(engine, key, crops):
    out = engine.modify(crops, [key] * 3).faces
    outside = np.ones((128, 128), bool)
    outside[28:124, 16:112] = False
    np.testing.assert_array_equal(out[:, outside], crops[:, outside])
    assert (out != crops).any()


def test_another_key_gives_another_face(engine, key, crops):
    other = expand(b"o" * 32, np.zeros(17, np.float32))
    plain = engine.modify(crops, [key] * 3).faces
    mixed = engine.modify(crops, [key, other, key]).faces
    assert np.abs(mixed[[0, 2]].astype(int) - plain[[0, 2]]).max() <= 1  # a key is for its own crop
    assert (mixed[1] != plain[1]).mean() > 0.05
    with pytest.raises(ArgumentError, match="keys: got 1 for 3 crops"):
        engine.modify(crops, [key])


def test_one_crop_goes_with_any_number_of_keys_of_both_directions(engine, key, crops):
    landmarks = TEMPLATE[None].astype(np.float32) + 1.5
    keys = [key, expand(b"o" * 32, np.zeros(17, np.float32)), key.inverse()]
    for some in (keys, keys[:2], keys[2:], keys[2:] * 2):
        found = engine.modify(crops[:1], some, landmarks)
        alone = [engine.modify(crops[:1], [one], landmarks) for one in some]
        assert np.abs(found.faces.astype(int) - np.concatenate([one.faces for one in alone])).max() <= 1
        np.testing.assert_allclose(found.evidence, np.concatenate([one.evidence for one in alone]), atol=1e-4)
    for few in (crops[:2], crops[:0]):
        with pytest.raises(ArgumentError, match=f"keys: got 3 for {len(few)} crops"):
            engine.modify(few, keys)
    with pytest.raises(ArgumentError, match="keys: got 0 for 1 crops"):
        engine.modify(crops[:1], [])


def test_one_crop_is_encoded_once(key, crops):
    encoded, engine = [], OnnxEngine()

    def run(part, /, **inputs):
        if part == "content_encoder":
            encoded.append(len(inputs["crop"]))
        return engine.run_part(part, **inputs)

    run_parts(run, crops[:1], [key] * 3)
    run_parts(run, crops[:1], [key, key.inverse()])  # turned back it is another
    assert encoded == [1, 2]


def test_colours_are_not_swapped(engine, key):
    # Far from a face the network changes little: a red picture must not come back blue.
    red = np.zeros((1, 128, 128, 3), np.uint8)
    red[..., 2] = 200
    out = engine.modify(red, [key]).faces.astype(float).mean((0, 1, 2))
    assert out[2] > out[0] + 100


def test_corrupt_model_is_refused_by_name(tmp_path):
    shutil.copytree(SHIPPED_MODEL, tmp_path / "m")
    path = tmp_path / "m" / "decoder.onnx"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"decoder\.onnx.*sha256"):
        OnnxEngine(tmp_path / "m")


@pytest.mark.parametrize(
    "card", ["", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "sha256": {"decoder": 3}}']
)
def test_broken_card_is_refused(tmp_path, card):
    shutil.copytree(SHIPPED_MODEL, tmp_path / "m")
    (tmp_path / "m" / "card.json").write_text(card)
    with pytest.raises(ModelError, match="card.json"):
        OnnxEngine(tmp_path / "m")


def test_another_network_runs_only_when_its_maker_is_trusted(tmp_path):
    """A card of the same maker vouches for nothing: whoever changes a file can write its hash into the card."""
    shutil.copytree(SHIPPED_MODEL, tmp_path / "m")
    graph = onnx.load(tmp_path / "m" / "decoder.onnx")
    graph.doc_string = "another file that computes the same"
    onnx.save(graph, tmp_path / "m" / "decoder.onnx")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    card["sha256"]["decoder"] = hashlib.sha256((tmp_path / "m" / "decoder.onnx").read_bytes()).hexdigest()
    (tmp_path / "m" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="trust_unknown_model"):
        OnnxEngine(tmp_path / "m")
    with pytest.raises(ModelError, match="trust_unknown_model"):
        MfmRuntime(model=tmp_path / "m")
    assert OnnxEngine(tmp_path / "m", trust_unknown_model=True).model_id != OnnxEngine().model_id
    shutil.copytree(SHIPPED_MODEL, tmp_path / "copy")
    assert OnnxEngine(tmp_path / "copy").model_id == OnnxEngine().model_id  # known by its content, not by its place


def test_missing_folder_and_unknown_provider():
    with pytest.raises(ModelError, match="takes a folder with"):
        OnnxEngine(SHIPPED_MODEL / "nowhere")
    with pytest.raises(ModelError, match="NoSuchProvider"):
        OnnxEngine(provider="NoSuchProvider")


def test_card_tells_opset_and_terms():
    card = json.loads((SHIPPED_MODEL / "card.json").read_text())
    assert card["opset"] >= 17 and "CelebA" in card["terms"]
