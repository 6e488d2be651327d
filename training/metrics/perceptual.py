"""ST-LPIPS: the shift-tolerant LPIPS on AlexNet (Ghildyal and Liu, 2022). Its numbers are not those of LPIPS."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.package_weights import load_weights

__all__ = ["StLpips"]


class StLpips:
    """`distance` of pictures, 0 for the same. Raises MissingPackage without the package of weights."""

    def __init__(self) -> None:
        state = load_weights("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth")
        self._shift, self._scale = state["scaling_layer.shift"], state["scaling_layer.scale"]
        self._stages = [stage.eval() for stage in _stages()]
        for i, stage in enumerate(self._stages):
            prefix = f"net.slice{i + 1}."
            mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            # The blur filters are fixed, and buffers of the package's own classes only.
            stage.load_state_dict({name: mine[name] for name in stage.state_dict()})
        self._weights = [state[f"lin{i}.model.1.weight"] for i in range(len(self._stages))]

    @torch.no_grad()
    def distance(self, a: NDArray[np.uint8], b: NDArray[np.uint8], batch: int = 8) -> NDArray[np.float64]:
        """(N, H, W, 3) uint8 RGB each -> (N,)."""
        found = []
        for start in range(0, len(a), batch):
            p, q = (self._scaled(pictures[start : start + batch]) for pictures in (a, b))
            total = torch.zeros(len(p))
            for stage, weight in zip(self._stages, self._weights, strict=True):
                p, q = stage(p), stage(q)
                apart = (F.normalize(p, eps=1e-10) - F.normalize(q, eps=1e-10)).square()
                total += F.conv2d(apart, weight).mean((1, 2, 3))
            found.append(total)
        return torch.cat(found).double().numpy()

    def _scaled(self, pictures: NDArray[np.uint8]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
        return (x - self._shift) / self._scale


class _Blur(nn.Module):
    """Binomial 3x3 filter and every second pixel, over two pixels of reflected border."""

    def forward(self, x: Tensor) -> Tensor:
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _stages() -> list[nn.Sequential]:
    """AlexNet with the strides taken out of convolution and pooling, cut after each ReLU; layers keep their numbers,
    since the state dict goes by them."""
    pool, relu = nn.MaxPool2d(3, stride=1), nn.ReLU()
    layers = [
        nn.Conv2d(3, 64, 11, padding=2), _Blur(), relu,
        pool, _Blur(), nn.Conv2d(64, 192, 5, padding=2), relu,
        pool, _Blur(), nn.Conv2d(192, 384, 3, padding=1), relu,
        nn.Conv2d(384, 256, 3, padding=1), relu,
        nn.Conv2d(256, 256, 3, padding=1), relu,
    ]  # fmt: skip
    stages = []
    for start, stop in pairwise((0, 3, 7, 11, 13, 15)):
        stage = nn.Sequential()
        for i in range(start, stop):
            stage.add_module(str(i), layers[i])
        stages.append(stage)
    return stages
