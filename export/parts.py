"""Tensor-only wrappers of the network's three parts, as they are exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfm_edge.align import TEMPLATE
from mfm_edge.style import COORDINATES, DETAILS, LIGHTS, NEIGHBOURS, STYLE_SIZE, SURROUNDINGS, shuffled
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
    places = torch.tensor(TEMPLATE, dtype=torch.float32) + 2 * torch.randn(batch, 5, 2, generator=generator)
    if part == "content_encoder":
        return {"crop": crop, "landmarks": places}
    if part == "style_encoder":
        rotation = torch.linalg.qr(torch.randn(batch, COORDINATES, COORDINATES, generator=generator))[0]
        person = torch.randn(batch, COORDINATES + SURROUNDINGS, generator=generator)
        light = torch.randn(batch, LIGHTS, generator=generator)
        codes = torch.randn(2, batch, STYLE_SIZE, generator=generator)
        return {
            "crop": crop, "landmarks": places, "rotation": rotation, "person": person, "light": light,
            "signature_from": codes[0], "signature_to": codes[1],
        }  # fmt: skip
    otherwise = torch.randn(batch, STYLE_SIZE, generator=generator)
    latents = torch.randn(2, batch, LATENT_CHANNELS, 32, 32, generator=generator)
    signs, mark = torch.randn(2, batch, DETAILS, generator=generator).sign()
    draws = torch.rand(batch, DETAILS // NEIGHBOURS, NEIGHBOURS, generator=generator)
    order, known = torch.from_numpy(shuffled(draws.numpy())), torch.arange(batch)[:, None] % 2.0
    return {
        "latent_from": latents[0], "latent_to": latents[1], "otherwise": otherwise,
        "order": order, "signs": signs, "mark": mark, "known": known, "crop": crop,
    }  # fmt: skip
