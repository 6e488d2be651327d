"""The kernels of cpp_ext against what does the same: numpy, torch, ONNX Runtime, OpenCV."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks.speed.timing import Timing, take_turns
from export.fuse import repeat_add_nodes
from mfm_edge.align import frame_region
from mfm_edge.latent import repeat_add, repeat_add_reference
from mfm_edge.native import NATIVE
from mfm_edge.paste import feather_mask, paste
from mfm_edge.pixels import to_pixels, to_pixels_reference, to_planes, to_planes_reference
from mfm_edge.types import CROP_SIZE

__all__ = ["time_paste", "time_pixels", "time_repeat_add"]

FRAME = (1080, 1920)
FACE = 300
"""Side of the face's crop in the frame, px."""


def time_repeat_add(batch: int, rounds: int) -> dict[str, Timing]:
    """Latents as large as the network's, into memory that is there."""
    rng = np.random.default_rng(0)
    content = rng.normal(size=(batch, 256, 32, 32)).astype(np.float32)
    style = rng.normal(size=(batch, 1024)).astype(np.float32)
    out = np.empty_like(content)
    contestants: dict[str, Callable[[], object]] = {
        "native" if NATIVE is not None else "numpy, by way of the SDK": lambda: repeat_add(content, style, out),
        "numpy": lambda: repeat_add_reference(content, style, out),
        "ONNX Runtime": _in_onnx_runtime(content, style),
    }
    try:
        import torch
    except ImportError:
        return take_turns(contestants, rounds=rounds)
    tensors = torch.from_numpy(content), torch.from_numpy(style).view(batch, 1, 32, 32), torch.from_numpy(out)
    contestants["torch"] = lambda: torch.add(tensors[0], tensors[1], out=tensors[2])
    return take_turns(contestants, rounds=rounds)


def _in_onnx_runtime(content: NDArray[np.float32], style: NDArray[np.float32]) -> Callable[[], object]:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(array.shape))
        for name, array in (("content", content), ("style", style), ("out", content))
    ]
    graph = helper.make_graph(repeat_add_nodes(), "repeat_add", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"content": content, "style": style})


def time_pixels(rounds: int) -> dict[str, dict[str, Timing]]:
    """One face from pixels to the network's floats, and back, each with the memory that it takes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    planes = to_planes(pixels)
    own = "native" if NATIVE is not None else "numpy, by way of the SDK"
    return {
        "to_planes": take_turns(
            {own: lambda: to_planes(pixels), "numpy": lambda: to_planes_reference(pixels)}, rounds=rounds
        ),
        "to_pixels": take_turns(
            {own: lambda: to_pixels(planes), "numpy": lambda: to_pixels_reference(planes)}, rounds=rounds
        ),
    }


def time_paste(rounds: int) -> dict[str, Timing]:
    """A face into a 1080p frame: the SDK, OpenCV in the face's region, and OpenCV over the whole frame."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (*FRAME, 3), np.uint8)
    crop = rng.integers(0, 256, (CROP_SIZE, CROP_SIZE, 3), np.uint8)
    turn = cv2.getRotationMatrix2D((FACE / 2, FACE / 2), 12, CROP_SIZE / FACE)
    turn[:, 2] += CROP_SIZE / 2 - FACE / 2 - turn[:, :2] @ np.array([700.3, 400.7])
    x0, y0, x1, y1 = frame_region(turn, FRAME)
    inside = turn.copy()
    inside[:, 2] += turn[:, :2] @ np.array([x0, y0])
    region = frame[y0:y1, x0:x1]
    return take_turns(
        {
            "mfm_edge": lambda: paste(frame, crop, turn),
            "OpenCV, region": lambda: _warp_and_blend(region, crop, inside),
            "OpenCV, whole frame": lambda: _warp_and_blend(frame, crop, turn),
        },
        rounds=rounds,
    )


def _warp_and_blend(picture: NDArray[np.uint8], crop: NDArray[np.uint8], matrix: NDArray[np.float64]) -> None:
    """As face swappers do it."""
    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(crop, matrix, size, flags=flags).astype(np.float32)
    weight = cv2.warpAffine(feather_mask(), matrix, size, flags=flags)[..., None]
    picture[...] = np.rint(picture + weight * (warped - picture))
