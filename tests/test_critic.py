"""The critic tells people apart, badly enough to be no danger and well enough to choose by, and what is natural."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import critic
from mfm_edge.align import align
from mfm_edge.critic import SIDE, Critic, look_at
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.errors import ModelError
from mfm_edge.factors import ATTRIBUTES, Factors
from mfm_edge.style import FaceKeys
from mfm_edge.types import WINDOW
from mfm_edge.video import open_source

CELEBA = Path(__file__).resolve().parents[2] / "shared" / "data" / "celeba"


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2))


def test_it_looks_at_what_a_surrogate_may_change() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    seen = look_at(crop)
    assert seen.shape == (1, SIDE, SIDE, 3)
    top, left, side = WINDOW
    elsewhere = crop.copy()
    elsewhere[:, top : top + side, left : left + side] = 255 - elsewhere[:, top : top + side, left : left + side]
    around = np.where(elsewhere == crop, 0, crop)
    np.testing.assert_array_equal(look_at(around), seen)
    assert (look_at(elsewhere) != seen).mean() > 0.9


def test_each_crop_of_a_batch_is_seen_alone() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), np.uint8)
    network = Critic()
    together = network.look(crops)
    assert together.embeddings.shape == (3, 128) and together.natural.shape == (3,)
    assert together.attributes.shape == (3, len(ATTRIBUTES))
    assert {output.dtype for output in together} == {np.dtype(np.float32)}
    for index, crop in enumerate(crops):
        alone = network.look(crop[None])
        np.testing.assert_allclose(alone.embeddings[0], together.embeddings[index], atol=1e-4)
        np.testing.assert_allclose(alone.natural[0], together.natural[index], atol=1e-4)
        np.testing.assert_allclose(alone.attributes[0], together.attributes[index], atol=1e-4)


def test_a_person_looks_more_like_himself_than_like_another() -> None:
    """The demo's two people, in frames of its clip."""
    with open_source(CLIP) as source:
        frames = [frame.image for frame in source]
    detector = YuNetDetector()
    crops = [np.stack([align(frames[i], face).crop for face in detector.detect(frames[i])]) for i in (0, -1)]
    first, second = (Critic().look(some).embeddings for some in crops)
    assert len(first) == len(second) == 1  # one after the other
    apart = float(distances(first, second)[0, 0])
    later = next(face for face in detector.detect(frames[3]))
    near = float(distances(first, Critic().look(align(frames[3], later).crop[None]).embeddings)[0, 0])
    assert near < apart / 2


@pytest.mark.skipif(not CELEBA.is_dir(), reason="needs ../shared/data/celeba")
def test_two_photos_of_one_person_are_nearer_than_of_two() -> None:
    """People that it never saw. Of all pairs of two people at most a tenth are nearer than the median of one's."""
    pytest.importorskip("torch")
    from training.data import load_faces

    faces = load_faces(CELEBA, "val", limit=400)
    embeddings = Critic().look(np.ascontiguousarray(faces.crops[..., ::-1])).embeddings
    apart = distances(embeddings, embeddings)[np.triu_indices(len(faces), 1)]
    same = (faces.identities[:, None] == faces.identities[None])[np.triu_indices(len(faces), 1)]
    assert (apart[~same] < np.median(apart[same])).mean() < 0.1


@pytest.mark.skipif(not CELEBA.is_dir(), reason="needs ../shared/data/celeba")
def test_it_sees_attributes_of_people_that_it_never_saw() -> None:
    pytest.importorskip("torch")
    from training.data import load_faces

    faces = load_faces(CELEBA, "val", limit=1000)
    found = Critic().look(np.ascontiguousarray(faces.crops[..., ::-1])).attributes > 0
    right = [(found[there, i].mean() + (~found[~there, i]).mean()) / 2 for i, there in enumerate(faces.attributes.T)]
    assert np.mean(right) > 0.8 and min(right) > 0.65
    assert right[ATTRIBUTES.index("male")] > 0.95


@pytest.mark.skipif(not CELEBA.is_dir(), reason="needs ../shared/data/celeba")
def test_photographs_are_more_natural_than_surrogates() -> None:
    """Of people that it never saw; it was told of surrogates alone how natural they are."""
    pytest.importorskip("torch")
    from training.data import load_faces

    faces = load_faces(CELEBA, "val", limit=60)
    key = FaceKeys(bytes(32), Factors("p").attribute_vector()).of(0)
    crops = np.ascontiguousarray(faces.crops[..., ::-1])
    surrogates = OnnxEngine().modify(crops, [key] * len(crops), faces.landmarks).faces
    assert (Critic().look(crops).natural > Critic().look(surrogates).natural).mean() > 0.9


def test_a_broken_installation_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(critic, "SHIPPED_CRITIC", tmp_path / "critic.onnx")
    with pytest.raises(ModelError, match=r"critic\.onnx .*reinstall mfm-edge"):
        Critic()
