from pathlib import Path

import numpy as np
import pytest
import torch

from mfm_edge.factors import ATTRIBUTES
from training.data import load_faces, to_tensor
from training.face_mesh import POINTS, SIDE, STRAIGHT, FaceMesh, between_eyes, openings, random_looks

DATA = Path(__file__).parents[3] / "shared" / "data" / "celeba"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/celeba")
RIGHT_EYE, LEFT_EYE, NOSE, MOUTH = [33, 133, 145, 159], [263, 362, 374, 386], [1], ([61], [291])


@pytest.fixture(scope="module")
def faces():
    return load_faces(DATA, "val", limit=48)


@pytest.fixture(scope="module")
def mesh():
    return FaceMesh.load()


def spots(points):
    """Eyes, nose tip and corners of the mouth, crop px."""
    return torch.stack([points[:, i, :2].mean(1) for i in (RIGHT_EYE, LEFT_EYE, NOSE, *MOUTH)], 1) * 128 / SIDE


def test_finds_eyes_nose_and_mouth_where_they_are_labelled(mesh, faces):
    with torch.no_grad():
        points = mesh(to_tensor(faces.crops), STRAIGHT.expand(len(faces), 2, 3))
    assert points.shape == (len(faces), POINTS, 3)
    away = (spots(points) - torch.from_numpy(faces.landmarks)).norm(dim=2)
    assert float(away.median()) < 2.5 and float(away.quantile(0.95)) < 8
    eyes = np.linalg.norm(faces.landmarks[:, 1] - faces.landmarks[:, 0], axis=1).mean()
    assert float(between_eyes(points)) * 128 / SIDE == pytest.approx(eyes, rel=0.1)


def test_points_move_with_what_is_looked_at(mesh, faces):
    """Turned and further away, the same spots of the picture are found again."""
    x, n = to_tensor(faces.crops), len(faces)
    torch.manual_seed(0)
    looks = random_looks(n)
    with torch.no_grad():
        straight, otherwise = mesh(x, STRAIGHT.expand(n, 2, 3)), mesh(x, looks)
    seen = (otherwise[..., :2] + 0.5) / SIDE * 2 - 1
    back = (torch.cat([seen, torch.ones(n, POINTS, 1)], 2) @ looks.transpose(1, 2) + 1) / 2 * SIDE - 0.5
    unit = between_eyes(straight)
    assert float((back - straight[..., :2]).norm(dim=2).mean() / unit) < 0.06
    assert float((otherwise - straight)[..., :2].norm(dim=2).mean() / unit) > 0.1  # looked at otherwise indeed


def test_tells_which_way_a_head_is_turned(mesh, faces):
    """Mirrored, the other temple is the nearer one."""
    x, straight = to_tensor(faces.crops), STRAIGHT.expand(len(faces), 2, 3)
    with torch.no_grad():
        seen = mesh(x, straight), mesh(x.flip(3), straight)
    turned, mirrored = ((points[:, 454, 2] - points[:, 234, 2]).numpy() for points in seen)
    assert np.corrcoef(turned, mirrored)[0, 1] < -0.9


def test_open_mouths_are_open_and_smiles_wide(mesh):
    faces = load_faces(DATA, "val", limit=300)
    with torch.no_grad():
        found = torch.cat(
            [openings(mesh(to_tensor(x), STRAIGHT.expand(len(x), 2, 3))) for x in np.split(faces.crops, 6)]
        )
    is_open, smiling = (faces.attributes[:, ATTRIBUTES.index(name)] for name in ("mouth_open", "smiling"))
    _, _, lips, corners = found.numpy().T
    assert lips[is_open].mean() > 3 * lips[~is_open].mean() and corners[smiling].mean() > 1.1 * corners[~smiling].mean()


def test_a_moved_face_says_where_to_move(mesh, faces):
    x = to_tensor(faces.crops[:2]).requires_grad_()
    mesh(x, STRAIGHT.expand(2, 2, 3)).square().mean().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and float(x.grad.abs().sum()) > 0
