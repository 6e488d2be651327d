"""The critic learns to see what its teachers see, from what it is given and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mfm_edge.critic import SHIPPED_CRITIC, Critic
from training import critic
from training.critic import (
    SIZE,
    CriticNetwork,
    Lessons,
    Teacher,
    fit,
    fit_natural,
    going_on_from,
    main,
    surrogates_of,
)
from training.data import FaceSet, load_faces

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "celeba"


def test_it_learns_what_its_teachers_say_up_to_shift_and_scale(faces: FaceSet) -> None:
    crops = faces.crops[:48]
    shade = torch.from_numpy(crops[:, 28:76, 16:112].mean((1, 2, 3)) - crops[:, 76:124, 16:112].mean((1, 2, 3)))
    slope = torch.from_numpy(crops[:, 28:124, 16:64].mean((1, 2, 3)) - crops[:, 28:124, 64:112].mean((1, 2, 3))).abs()
    told = 7 + 0.01 * shade[:, None].repeat(1, SIZE).float()
    torch.manual_seed(0)
    # Shown as faces and as surrogates: of these alone it is told how natural they are.
    taught = Lessons(faces.take(slice(48)), crops, np.arange(48), torch.cat([told, told]), 30 - 0.1 * slope.float())
    network = fit(CriticNetwork(widths=(8, 8, 8, 8)), taught, minutes=0.6)
    with torch.no_grad():
        pictures = torch.from_numpy(critic.look_at(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
        embedding, natural, _ = network(pictures)
    found = embedding.mean(1)
    assert not network.training
    assert np.corrcoef(found.numpy(), shade.numpy())[0, 1] > 0.8
    assert 0.3 < float(found.std()) < 1.5 and abs(float(found.mean())) < 0.4  # not 7, and not a hundredth
    assert np.corrcoef(natural.numpy(), -slope.numpy())[0, 1] > 0.6
    assert 0.3 < float(natural.std()) < 1.5 and abs(float(natural.mean())) < 0.5  # not 30


def test_who_goes_on_from_an_exported_critic_begins_where_it_stands(faces: FaceSet) -> None:
    network = going_on_from(SHIPPED_CRITIC).eval()
    crops = np.ascontiguousarray(faces.crops[:16])
    with torch.no_grad():
        found = network(torch.from_numpy(critic.look_at(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    shipped = Critic().look(np.ascontiguousarray(crops[..., ::-1]))
    for here, there in zip(found, shipped, strict=True):
        np.testing.assert_allclose(here.numpy(), there, atol=2e-4 * float(np.abs(there).max()))


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/celeba")
def test_lessons_are_surrogates_of_training_faces() -> None:
    everybody = load_faces(DATA, "train", limit=5)
    made, whose = surrogates_of(everybody, 3)
    assert made.shape == (3, 128, 128, 3) and np.array_equal(made, surrogates_of(everybody, 3)[0])
    for surrogate, original in zip(made, everybody.crops[whose], strict=True):  # around the face they are who they were
        assert np.array_equal(surrogate[:20], original[:20]) and not np.array_equal(surrogate, original)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/celeba")
@pytest.mark.parametrize("bf16", [False, True])
def test_teachers_know_people_and_what_is_natural(bf16: bool) -> None:
    faces = load_faces(DATA, "val", limit=40)
    upside_down = faces.crops.copy()
    upside_down[:, 40:112, 28:100] = upside_down[:, 40:112, 28:100][:, ::-1]
    teacher = Teacher(DATA.parents[1] / "models", bf16=bf16)
    embeddings, scores = teacher.embed(faces.crops), teacher.score(np.concatenate([faces.crops, upside_down]))
    apart = torch.cdist(embeddings, embeddings).numpy()
    same = (faces.identities[:, None] == faces.identities[None]) & ~np.eye(40, dtype=bool)
    assert same.any() and np.median(apart[same]) < 0.8 * np.median(apart[faces.identities[:, None] != faces.identities])
    assert (scores[:40] > scores[40:]).float().mean() > 0.9


def test_a_run_goes_on_from_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: FaceSet) -> None:

    class Told(Teacher):
        def __init__(self, models: Path, *, bf16: bool) -> None:
            assert models == tmp_path and not bf16

        def embed(self, crops: np.ndarray) -> Tensor:
            return torch.randn(len(crops), SIZE)

        def score(self, crops: np.ndarray) -> Tensor:
            return torch.randn(len(crops))

    monkeypatch.setattr(critic, "Teacher", Told)
    for name, value in (("load_faces", faces.take(slice(8))), ("surrogates_of", (faces.crops[4:8], np.arange(4, 8)))):
        monkeypatch.setattr(critic, name, lambda *_, value=value, **__: value)

    def run(out: str, start: str | None, *, all_of_it: float, natural: float) -> dict[str, Tensor]:
        given = {"minutes": all_of_it, "natural-minutes": natural}
        options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        before = [] if start is None else ["--start", str(tmp_path / start)]
        main(["--data", str(tmp_path), "--models", str(tmp_path), "--out", str(tmp_path / out), *options, *before])
        return dict(torch.load(tmp_path / out, weights_only=True))

    def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
        return {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}

    a = run("first.pt", None, all_of_it=1e-9, natural=0)
    b = run("second.pt", "first.pt", all_of_it=1e-9, natural=0)
    assert 0 < float((a["body.0.0.weight"] - b["body.0.0.weight"]).abs().max()) < 0.01
    # What else it says stays to the bit.
    c = run("third.pt", "second.pt", all_of_it=0, natural=1e-9)
    assert changed(b, c) == {"natural"}


def test_it_learns_how_far_faces_and_their_surrogates_are_apart(faces: FaceSet) -> None:
    """Where they are it cannot know: that is noise, but of the two of each pair the same, up to a distance."""
    crops, rng = faces.crops[:48], np.random.default_rng(0)
    darker = (crops * np.where(np.arange(48) % 2, 0.3, 0.8)[:, None, None, None]).astype(np.uint8)
    somewhere = torch.from_numpy(rng.normal(size=(48, SIZE)).astype(np.float32))
    there = somewhere.clone()
    there[:, 0] += 8 + 12 * (torch.arange(48) % 2)
    whose = rng.permutation(48)
    torch.manual_seed(0)
    taught = Lessons(faces.take(slice(48)), darker[whose], whose, torch.cat([somewhere, there[whose]]), torch.randn(48))
    network = fit(CriticNetwork(widths=(8, 8, 8, 8)), taught, minutes=0.5)

    def place(of: np.ndarray) -> Tensor:
        with torch.no_grad():
            return network(torch.from_numpy(critic.look_at(of)).permute(0, 3, 1, 2).float() / 127.5 - 1)[0]

    found = (place(crops) - place(darker)).norm(dim=1)
    expected = (taught.embeddings[:48] - taught.embeddings[48:][np.argsort(whose)]).norm(dim=1)
    assert np.corrcoef(found.numpy(), expected.numpy())[0, 1] > 0.8
    for kind in (0, 1):  # and so far, not a part of it
        assert 0.7 < float(found[kind::2].mean() / expected[kind::2].mean()) < 1.3


def test_it_learns_what_is_natural_by_what_it_sees_anyway(faces: FaceSet) -> None:
    crops = faces.crops[:48]
    shade = crops[:, 28:76, 16:112].mean((1, 2, 3)) - crops[:, 76:124, 16:112].mean((1, 2, 3))
    torch.manual_seed(0)
    scores = torch.from_numpy(30 + 0.1 * shade).float()
    network = fit_natural(CriticNetwork(widths=(8, 8, 8, 8)), crops, scores, minutes=0.2)
    with torch.no_grad():
        pictures = torch.from_numpy(critic.look_at(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
        natural = network(pictures)[1].numpy()
    assert not network.training
    assert np.corrcoef(natural, shade)[0, 1] > 0.8 and abs(natural.mean()) < 0.4


@pytest.mark.parametrize("bf16", [False, True])
def test_it_learns_attributes_of_which_few_have_one(faces: FaceSet, bf16: bool) -> None:
    """One that half of them have is a bright forehead, one that a tenth have a dark chin. Surrogates show neither."""
    labels = np.zeros_like(faces.attributes)
    labels[::2, 6] = labels[::10, 7] = True
    crops = faces.crops.astype(int)
    crops[::2, 28:60, 16:112] += 80
    crops[::10, 92:124, 16:112] -= 80
    crops = crops.clip(0, 255).astype(np.uint8)
    torch.manual_seed(0)
    network = CriticNetwork(widths=(8, 8, 8, 8))
    told = FaceSet(crops, faces.identities, labels, faces.landmarks)
    light = torch.from_numpy(faces.crops.mean((1, 2, 3))).float()
    taught = Lessons(told, faces.crops, np.arange(len(faces)), light.repeat(2)[:, None].repeat(1, SIZE), light)
    network = fit(network, taught, minutes=0.7, bf16=bf16)
    with torch.no_grad():
        pictures = torch.from_numpy(critic.look_at(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
        logits = network(pictures)[2].numpy()
    assert not network.training
    for index in (6, 7):
        found, there = logits[:, index] > 0, labels[:, index]
        assert (found[there].mean() + (~found[~there]).mean()) / 2 > 0.8
    assert (logits[:, 0] < 0).all()
