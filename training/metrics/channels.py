"""What happens to a surrogate on its way: pictures are blurred, coded and made smaller; videos are coded."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.video import FileSink, open_source

__all__ = ["blurred", "h264", "jpeg", "rescaled"]

Crops = NDArray[np.uint8]


def blurred(crops: Crops, sigma: float = 1.5) -> Crops:
    """(N, H, W, 3) uint8 -> the same shape after a Gaussian blur of sigma px."""
    return np.stack([cv2.GaussianBlur(crop, (0, 0), sigma) for crop in crops])


def jpeg(crops: Crops, quality: int) -> Crops:
    """(N, H, W, 3) uint8 RGB -> the same shape, coded and decoded; quality 0..100."""
    coded = (cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for crop in crops)
    return np.stack([cv2.imdecode(one, cv2.IMREAD_COLOR)[..., ::-1] for one in coded])


def rescaled(crops: Crops, side: int) -> Crops:
    """(N, H, W, 3) uint8 -> the same shape, made side x side px and large again."""
    height, width = crops.shape[1:3]
    small = (cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops)
    return np.stack([cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR) for crop in small])


def h264(frames: Sequence[NDArray[np.uint8]], crf: int) -> list[NDArray[np.uint8]]:
    """Frames (H, W, 3) uint8 BGR of one size -> as they come out of the file that the stream writes."""
    height, width = frames[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.mp4"
        with FileSink(path, size=(width, height), crf=crf) as sink:
            for index, frame in enumerate(frames):
                sink.write(frame, index / 25)
        with open_source(path) as source:
            return [frame.image for frame in source]
