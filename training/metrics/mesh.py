"""Where 468 spots of a face are, and which way it is turned, by the mesh that training uses as a loss.

Five spots of a detector in 128 px say little of a pose: a nose tip that is found 1 px off turns a head by 4 to 5
degrees. These say more, but of a network that training has seen: what they say of surrogates does not count.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.data import to_tensor
from training.face_mesh import STRAIGHT, FaceMesh, between_eyes

__all__ = ["mesh_of", "mesh_shift", "mesh_turn"]

BATCH = 32


@torch.no_grad()
def mesh_of(crops: NDArray[np.uint8]) -> torch.Tensor:
    """(N, 128, 128, 3) uint8 RGB -> (N, 468, 3), px of what the mesh looks at."""
    mesh = FaceMesh.load()
    parts = (to_tensor(np.ascontiguousarray(crops[i : i + BATCH])) for i in range(0, len(crops), BATCH))
    return torch.cat([mesh(x, STRAIGHT.expand(len(x), 2, 3)) for x in parts])


def mesh_shift(a: torch.Tensor, b: torch.Tensor) -> NDArray[np.float64]:
    """(N,) mean distance of the spots in the picture, in mean distances between the eyes of a."""
    return ((a - b)[..., :2].norm(dim=2).mean(1) / between_eyes(a)).double().numpy()


def mesh_turn(a: torch.Tensor, b: torch.Tensor) -> NDArray[np.float64]:
    """(N,) degrees by which the rotation turns that brings a's spots nearest to b's (Kabsch 1976)."""
    p, q = ((points - points.mean(1, keepdim=True)).double() for points in (a, b))
    u, _, v = torch.linalg.svd(p.transpose(1, 2) @ q)
    proper = torch.ones(len(a), 3, dtype=torch.float64)
    proper[:, 2] = torch.linalg.det(u @ v).sign()
    turn = (u * proper[:, None]) @ v
    cosine = (turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return torch.rad2deg(cosine.clamp(-1, 1).acos()).numpy()
