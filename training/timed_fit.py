"""Train a small network for so many minutes of processor time: for judges and attackers, whose budget is time."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import cos, pi

import torch
from torch import Tensor, nn

__all__ = ["timed_fit"]


def timed_fit(network: nn.Module, loss: Callable[[], Tensor], *, minutes: float, rate: float = 2e-3) -> int:
    """AdamW on `loss()`, a fresh batch each call; the learning rate rises for a twentieth of the time, then falls along
    half a cosine.

    minutes: of all processors together, so that other work on the machine makes it slower and not worse. Takes one step
    at the least, leaves the network in evaluation mode and returns the number of steps.
    """
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    started, steps, done = time.process_time(), 0, 0.0
    while done < 1:
        optimiser.param_groups[0]["lr"] = rate * min(1.0, 0.1 + 20 * done) * (1 + cos(pi * done)) / 2
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()
        steps += 1
        done = (time.process_time() - started) / (60 * minutes) if minutes > 0 else 1.0
    network.eval()
    return steps
