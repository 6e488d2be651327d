"""Repeat-and-add: the style code goes into every channel of the content latent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError
from mfm_edge.native import NATIVE

__all__ = ["repeat_add", "repeat_add_reference"]


def repeat_add(
    content: NDArray[np.float32], style: NDArray[np.float32], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """out[n, c, y, x] = content[n, c, y, x] + style[n, y * W + x], without writing the repeated style down.

    content: (N, C, H, W) float32, in this network (N, 256, 32, 32). style: (N, H * W) float32, here (N, 1024).
    out: where to put the result, of content's shape; content itself works in place. A new array when None.
    All three C-contiguous. Returns out. Raises ArgumentError for any other dtype, shape or layout.
    """
    _check("content", content, 4, "(N, C, H, W)")
    _check("style", style, 2, "(N, H * W)")
    batch, _, height, width = content.shape
    if style.shape != (batch, height * width):
        takes = f"{(batch, height * width)} for content {content.shape}"
        raise ArgumentError(f"style: got shape {style.shape}, takes {takes}")
    if out is None:
        out = np.empty_like(content)
    else:
        _check("out", out, 4, str(content.shape))
        if out.shape != content.shape:
            raise ArgumentError(f"out: got shape {out.shape}, takes {content.shape}")
        if not out.flags.writeable:
            raise ArgumentError("out: got a read-only array, takes a writable one")
        # Asking for an address costs a tenth of the kernel: only where it matters.
        elsewhere = np.may_share_memory(out, content) and out.ctypes.data != content.ctypes.data
        if elsewhere or np.may_share_memory(out, style):
            raise ArgumentError("out: got memory that overlaps an input, takes content itself or memory of its own")
    if NATIVE is None:
        return repeat_add_reference(content, style, out)
    NATIVE.repeat_add(content, style, out)
    return out


def repeat_add_reference(
    content: NDArray[np.float32], style: NDArray[np.float32], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The same in numpy: the native kernel's oracle, and its stand-in where it was not built."""
    batch, _, height, width = content.shape
    return np.add(content, style.reshape(batch, 1, height, width), out=out)


def _check(name: str, array: Any, dimensions: int, shape: str) -> None:
    takes = f"a C-contiguous float32 array of shape {shape}"
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"{name}: got {type(array).__name__}, takes {takes}")
    if array.dtype != np.float32 or array.ndim != dimensions:
        raise ArgumentError(f"{name}: got {array.dtype} of shape {array.shape}, takes {takes}")
    if not array.flags.c_contiguous:
        raise ArgumentError(f"{name}: got strides {array.strides}, takes {takes}")
