"""What phase 1 fits in closed form: the whitened eigenface space in which a key turns the identity of a face.

The paper builds its style latent with PCA and clusters it by attribute (its section 4.2). Here the space is spatial:
coarse luminance inside the face, 12x12 wavelet coefficients of the window. `training.fit_style_space` fits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from mfm_edge.types import CROP_SIZE, WINDOW

__all__ = [
    "COARSE_SCALE",
    "SHADE",
    "SPREAD_LIMIT",
    "StyleSpace",
    "border",
    "luminance",
    "window",
]

COARSE_SCALE = 4.0  # a coarse wavelet coefficient against the luminance that it is a mean of
SPREAD_LIMIT = 4.0
# How toned red, green and blue change with the luminance of a face (regression on the training faces).
SHADE = (1.115, 0.960, 0.901)


@dataclass(frozen=True, slots=True)
class StyleSpace:
    """analysis (144, COORDINATES) float32: coarse luminance of the window -> whitened coordinates;
    synthesis (COORDINATES, 144) float32: change of coordinates -> change of coarse luminance, the exact inverse;
    light_analysis (144, LIGHTS), light_synthesis (LIGHTS, 144) float32: the same for how the face is lit, in units of
    what a key changes of it in the middle of the range. Neither reads or draws the other's;
    light_range (2, LIGHTS) float32: between which of these values nearly all faces lie;
    rest (144, K) float32: orthonormal, what may change in the face besides: coordinates and what stays do not see it;
    coarse_axes, fine_axes, colour_axes (M, M) float16: principal axes of the three portions of the hidden part
    (training.bands), by falling variance;
    coarse_spread, fine_spread, colour_spread (M,) float32: standard deviations along them, the same for all that a key
    may shuffle among each other, and none above SPREAD_LIMIT times the median.
    context_mean, context_spread (CONTEXT,) float32: of what both directions know of a face (training.person);
    expectation (CONTEXT, COORDINATES) float32: whitened context -> the coordinates to be expected with it;
    variety (COORDINATES, COORDINATES) float32: numbers of unit variance -> how people differ from that;
    surroundings (SURROUNDINGS, CONTEXT) float32: signs of a key -> how it imagines the context otherwise.
    """

    analysis: NDArray[np.float32]
    synthesis: NDArray[np.float32]
    light_analysis: NDArray[np.float32]
    light_synthesis: NDArray[np.float32]
    light_range: NDArray[np.float32]
    rest: NDArray[np.float32]
    coarse_axes: NDArray[np.float16]
    fine_axes: NDArray[np.float16]
    colour_axes: NDArray[np.float16]
    coarse_spread: NDArray[np.float32]
    fine_spread: NDArray[np.float32]
    colour_spread: NDArray[np.float32]
    context_mean: NDArray[np.float32]
    context_spread: NDArray[np.float32]
    expectation: NDArray[np.float32]
    variety: NDArray[np.float32]
    surroundings: NDArray[np.float32]

    def axes(self) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float16]]:
        """Those of the three portions, in their order."""
        return self.coarse_axes, self.fine_axes, self.colour_axes

    def spreads(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Those of the three portions, in their order."""
        return self.coarse_spread, self.fine_spread, self.colour_spread

    def tensors(self) -> dict[str, torch.Tensor]:
        """By name, to be saved; `StyleSpace.load` is the inverse."""
        return {field.name: torch.from_numpy(getattr(self, field.name)) for field in fields(self)}

    @staticmethod
    def load(tensors: Mapping[str, torch.Tensor]) -> StyleSpace:
        """From a mapping that holds `tensors()`, perhaps among others."""
        return StyleSpace(**{field.name: tensors[field.name].numpy() for field in fields(StyleSpace)})


def luminance(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) RGB -> (N, 1, H, W), weights of Rec. 601."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def window(x: torch.Tensor, cell: int = 1) -> torch.Tensor:
    """The part of crops (N, C, 128, 128) that the network may change: (N, C, 96, 96).

    cell: px of the crop that one value of x stands for; 4 for latents (N, C, 32, 32), which become (N, C, 24, 24).
    """
    top, left, side = (length // cell for length in WINDOW)
    return x[:, :, top : top + side, left : left + side]


def border(cell: int = 1) -> tuple[int, int, int, int]:
    """What `torch.nn.functional.pad` takes to make crops of windows again: left, right, top, bottom in cells."""
    top, left, side = (length // cell for length in WINDOW)
    size = CROP_SIZE // cell
    return left, size - left - side, top, size - top - side
