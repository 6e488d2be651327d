"""Convolutions in bfloat16, where the processor has units for it; what must be undone exactly stays float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks import Modifier

__all__ = ["draw_in_bfloat16", "judge_in_bfloat16"]


def draw_in_bfloat16(modifier: Modifier) -> None:
    """Let the layers that draw compute in bfloat16, with float32 weights, inputs and results. Bands, style space and
    codes are left alone, since both directions have to find the same numbers there."""
    encoder, decoder = modifier.content_encoder, modifier.decoder
    blocks = [block for group in (encoder.blocks, decoder.blocks) for block in group]
    heads = (decoder.identity, decoder.narrow, decoder.refine, decoder.coarse, decoder.fine, decoder.colour)
    for part in (encoder.stem, *blocks, *heads):
        _in_bfloat16(part)


def judge_in_bfloat16(*discriminators: nn.Module) -> None:
    """The same for discriminators, and what they look with."""
    for discriminator in discriminators:
        _in_bfloat16(discriminator)


def _in_bfloat16(module: nn.Module) -> None:
    forward, device = module.forward, next(module.parameters()).device.type

    def halved(*arguments: Tensor) -> object:
        with torch.autocast(device, torch.bfloat16):
            return _as_float(forward(*arguments))

    module.forward = halved  # type: ignore[method-assign]


def _as_float(result: object) -> object:
    if isinstance(result, Tensor):
        return result.float()
    assert isinstance(result, tuple | list)
    return type(result)(_as_float(part) for part in result)
