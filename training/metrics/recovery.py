"""How close two pictures are: PSNR and SSIM, on the whole crop, inside the face and outside of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mfm_edge.style import face_mask

__all__ = ["background_psnr", "face_psnr", "psnr", "ssim"]


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 128, 128, 3) uint8 each -> (N,) dB over the whole crop."""
    error = ((a.astype(np.float64) - b) ** 2).mean((1, 2, 3))
    return 10 * np.log10(255.0**2 / np.maximum(error, 1e-3))


def face_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same, weighted by the face mask: what is left when the untouched background does not count."""
    return _masked_psnr(a, b, face_mask(128))


def background_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same outside the face: where the mask is below 0.05, some of it still within the window that may change."""
    return _masked_psnr(a, b, (face_mask(128) < 0.05).astype(np.float32))


def _masked_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    error = (((a.astype(np.float64) - b) ** 2) * mask[None, :, :, None]).sum((1, 2, 3)) / (mask.sum() * 3)
    return 10 * np.log10(255.0**2 / np.maximum(error, 1e-3))


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N,) mean SSIM of Wang et al. 2004 (Gaussian window, sigma 1.5) over the whole crop."""
    return np.array(
        [
            structural_similarity(p, q, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
            for p, q in zip(a, b, strict=True)
        ]
    )
