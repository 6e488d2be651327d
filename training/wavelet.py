"""The orthonormal wavelet transform that splits a face into bands: Daubechies' symlet of 8 taps."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["wavelet"]

SYMLET = (
    -0.07576571478927333, -0.02963552764599851, 0.49761866763201545, 0.8037387518059161,
    0.29785779560527736, -0.09921954357684722, -0.012603967262037833, 0.0322231006040427,
)  # fmt: skip


def wavelet(size: int, levels: int) -> Tensor:
    """(size, size) float32, orthonormal: signal -> coefficients, coarse ones first, then detail from coarse to fine.

    Periodic. With two levels, coarse function k is centred on samples 4k to 4k + 3.
    """
    rows = torch.eye(size, dtype=torch.float64)
    details: list[Tensor] = []
    for level in range(levels):
        one = _level(len(rows), 3 - level)
        half = len(rows) // 2
        details.insert(0, one[half:] @ rows)
        rows = one[:half] @ rows
    return torch.cat([rows, *details]).float()


def _level(size: int, centre: int) -> Tensor:
    low = torch.tensor(SYMLET, dtype=torch.float64)
    high = low.flip(0) * torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for k in range(size // 2):
        for tap in range(8):
            column = (2 * k + tap - centre) % size
            matrix[k, column] += low[tap]
            matrix[size // 2 + k, column] += high[tap]
    return matrix
