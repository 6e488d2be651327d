import numpy as np
import torch

from training.face_mesh import POINTS
from training.metrics.mesh import mesh_shift, mesh_turn


def turned(points, degrees, axis):
    angle = np.deg2rad(degrees)
    across, along = [i for i in range(3) if i != axis]
    matrix = torch.eye(3)
    matrix[across, across] = matrix[along, along] = float(np.cos(angle))
    matrix[across, along], matrix[along, across] = -float(np.sin(angle)), float(np.sin(angle))
    return points @ matrix.T


def test_a_head_turns_by_as_much_as_it_was_turned_whatever_its_size_and_place():
    torch.manual_seed(0)
    points = torch.randn(4, POINTS, 3) * torch.tensor([30.0, 40.0, 15.0])
    for axis, degrees in ((0, 5), (1, 20), (2, -40), (1, 120)):
        other = 1.3 * turned(points, degrees, axis) + torch.tensor([5.0, -3.0, 9.0])
        np.testing.assert_allclose(mesh_turn(points, other), abs(degrees), atol=0.05)
    assert mesh_turn(points, points).max() < 0.1
    noisy = turned(points, 20, 1) + 0.5 * torch.randn(4, POINTS, 3)
    np.testing.assert_allclose(mesh_turn(points, noisy), 20, atol=1)


def test_a_mirrored_face_is_no_turned_one():
    torch.manual_seed(0)
    points = torch.randn(3, POINTS, 3) * torch.tensor([30.0, 40.0, 15.0])
    assert np.isfinite(mesh_turn(points, points * torch.tensor([-1.0, 1.0, 1.0]))).all()


def test_spots_move_in_distances_between_the_eyes():
    points = torch.zeros(2, POINTS, 3)
    points[:, [263, 362, 374, 386], 0] = 60
    moved = points + torch.tensor([3.0, 4.0, 50.0])  # depth is not seen in the picture
    np.testing.assert_allclose(mesh_shift(points, moved), 5 / 60, rtol=1e-5)
