"""How much of a restored face's hidden part is noise that a frame or a codec left, and what remains without it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bands import COLOUR, Bands

__all__ = ["Noise"]

LEVELS = (0.0, 0.003, 0.006, 0.012, 0.02, 0.03, 0.045, 0.065, 0.09, 0.13, 0.2, 0.3)  # of noise in a surrogate, toned
UNEXPECTED = 0.85  # of how much components vary in faces: the network expects some of it
LEAST = 3e-5  # variance of what rounding leaves


class Noise(nn.Module):
    """Components of a portion of hidden detail, unscrambled by the right key, are those of a face and noise. In faces
    late ones hardly vary; restoring makes noise of all of them alike, and the more, the more they were damped. So how
    they vary tells the level of noise (of LEVELS the likeliest, for each portion), and that how much of each component
    is worth keeping (Wiener's filter)."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        levels = torch.tensor(LEVELS)[:, None]
        for portion in range(COLOUR + 1):
            face = (UNEXPECTED * bands.spread(portion)).square()
            undamped = bands.axes(portion).square().T @ (1 / bands.damping(portion)).square()
            variance = face + levels.square() * undamped + LEAST  # (L,K)
            self.register_buffer(f"precision{portion}", 1 / variance, persistent=False)
            self.register_buffer(f"size{portion}", variance.log().sum(1), persistent=False)
            self.register_buffer(f"kept{portion}", face / variance, persistent=False)

    def forward(self, portion: int, components: Tensor) -> tuple[Tensor, Tensor]:
        """Components (N,K) of a portion -> those worth keeping, and the level of noise (N,1), 0 for none to 1."""
        unlikely = self.get_buffer(f"size{portion}") + components.square() @ self.get_buffer(f"precision{portion}").T
        likely = torch.softmax(-unlikely / 2, 1)
        level = likely @ torch.linspace(0, 1, len(LEVELS)).to(likely)[:, None]
        return components * (likely @ self.get_buffer(f"kept{portion}")), level
