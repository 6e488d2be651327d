"""A camera that other programs see, through pyvirtualcam (extra `virtualcam`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import SourceError

__all__ = ["VirtualCamera"]


class VirtualCamera:
    """Shows frames on a virtual camera. size: (width, height) px. device: such as /dev/video2, the first one if None.

    Raises SourceError when pyvirtualcam is not installed or there is no virtual camera.
    """

    def __init__(self, *, size: tuple[int, int], frame_rate: float, device: str | None = None) -> None:
        try:
            import pyvirtualcam
        except ImportError:
            raise SourceError(
                "virtual camera: pyvirtualcam is not installed, takes pip install 'mfm-edge[virtualcam]'"
            ) from None
        try:
            self._camera: Any = pyvirtualcam.Camera(
                width=size[0], height=size[1], fps=frame_rate, fmt=pyvirtualcam.PixelFormat.BGR, device=device
            )
        except (RuntimeError, ValueError) as error:
            raise SourceError(
                f"virtual camera: cannot be opened ({error}), takes the v4l2loopback module (Debian: apt-get install "
                "v4l2loopback-dkms; modprobe v4l2loopback)"
            ) from None
        self.name: str = self._camera.device

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Sends a (H, W, 3) uint8 BGR frame; always True."""
        self._camera.send(np.ascontiguousarray(image))
        return True

    def close(self) -> None:
        """Gives the device back."""
        self._camera.close()
