"""Boxes in numpy: (N, 4) arrays of x0 y0 x1 y1 in px."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["overlaps", "suppress"]


def overlaps(boxes: NDArray[np.float32], box: NDArray[np.float32], *, of_smaller: bool = False) -> NDArray[np.float32]:
    """(N,) in 0..1: what each of boxes (N, 4) has in common with box (4,), over their union or over the smaller one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    whole = np.minimum(areas, area) if of_smaller else areas + area - common
    result: NDArray[np.float32] = common / np.maximum(whole, 1e-9)
    return result


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, *, of_smaller: bool = False
) -> NDArray[np.intp]:
    """Non-maximum suppression: the indices to keep, best score first; a later box overlaps none kept by > threshold."""
    order = np.argsort(-scores, kind="stable")
    keep = []
    while order.size:
        best, order = order[0], order[1:]
        keep.append(best)
        order = order[overlaps(boxes[order], boxes[best], of_smaller=of_smaller) <= threshold]
    return np.array(keep, dtype=np.intp)
