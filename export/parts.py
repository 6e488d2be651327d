"""Tensor-only wrappers of the network's three parts, as they are exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfm_edge.style import COORDINATES, STYLE_SIZE
from training.networks import LATENT_CHANNELS, Modifier

__all__ = ["example_inputs", "split"]


def split(network: Modifier) -> dict[str, nn.Module]:
    """The parts by name, ready to export."""
    network = network.eval()
    return {
        "content_encoder": network.content_encoder,
        "style_encoder": network.style_encoder,
        "decoder": network.decoder,
    }


def example_inputs(part: str, batch: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Random input of the right shapes and ranges, by input name."""
    generator = torch.Generator().manual_seed(seed)
    crop = torch.rand(batch, 3, 128, 128, generator=generator) * 2 - 1
    code = torch.randn(batch, STYLE_SIZE, generator=generator)
    if part == "content_encoder":
        return {"crop": crop, "style": code}
    if part == "style_encoder":
        rotation = torch.linalg.qr(torch.randn(batch, COORDINATES, COORDINATES, generator=generator))[0]
        return {"crop": crop, "rotation": rotation, "signature": code}
    return {"latent": torch.randn(batch, LATENT_CHANNELS, 32, 32, generator=generator), "crop": crop}
