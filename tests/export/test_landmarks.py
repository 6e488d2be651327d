"""The file of five landmarks computes what the mesh says of them, and is known by its card."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import onnxruntime
import torch
import torch.nn.functional as F

from export import landmarks
from mfm_edge.detect.mesh import SHIPPED_MESH
from training.face_mesh import LANDMARKS, OFFSETS, SIDE, STRAIGHT, FaceMesh


def test_the_file_places_the_means_of_the_meshs_points(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mesh.onnx"
    landmarks.export(landmarks.FiveLandmarks(FaceMesh.load()).eval(), path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(path.read_bytes()).hexdigest() and "Apache" in card["licence"]
    face = F.interpolate(torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (128, 128)) * 2 - 1
    with torch.no_grad():
        points = FaceMesh.load()(face, STRAIGHT.expand(3, 2, 3))[..., :2] * (128 / SIDE)
    expected = torch.stack([points[:, spot].mean(1) for spot in LANDMARKS], 1) - torch.tensor(OFFSETS)
    enlarged = F.interpolate(face, (SIDE, SIDE), mode="bicubic", align_corners=False)
    for file in (path, SHIPPED_MESH):
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (found,) = session.run(["landmarks"], {"face": enlarged.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), atol=0.02)
