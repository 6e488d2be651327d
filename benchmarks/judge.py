"""SFace, which took no part in training, as a judge of who is who; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import estimate_transform
from mfm_edge.recognize import ARCFACE

__all__ = ["SAME_PERSON", "Embed", "open_judge"]

SAME_PERSON = 0.357
"""SFace's cosine at a false-accept rate of 0.1 % on LFW."""

Embed = Callable[[NDArray[np.uint8], NDArray[Any]], NDArray[np.float32]]
"""A (H, W, 3) uint8 BGR picture and a face's (5, 2) landmarks in it, px -> its embedding of length 1."""


def open_judge(path: Path) -> Embed:
    """path: SFace as TorchScript, 112x112 px RGB 0..255 in, embedding out."""
    import torch

    torch.set_num_threads(1)
    network: Any = torch.jit.load(str(path)).float().eval()

    def embed(picture: NDArray[np.uint8], landmarks: NDArray[Any]) -> NDArray[np.float32]:
        crop = cv2.warpAffine(picture, estimate_transform(landmarks, template=ARCFACE), (112, 112))
        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(crop[None, :, :, ::-1].transpose(0, 3, 1, 2))).float()
            made = network(planes)[0].numpy()
        return np.asarray(made / np.linalg.norm(made), np.float32)

    return embed
