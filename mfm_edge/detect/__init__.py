"""Face detectors. Each is a class you import; all follow the Detector protocol, so your own works as well."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect.insightface import InsightFaceDetector
from mfm_edge.detect.mesh import MeshDetector
from mfm_edge.detect.mtcnn import MtcnnDetector
from mfm_edge.detect.still import StillSceneDetector
from mfm_edge.detect.yunet import YuNetDetector
from mfm_edge.types import Face

__all__ = ["Detector", "InsightFaceDetector", "MeshDetector", "MtcnnDetector", "StillSceneDetector", "YuNetDetector"]


class Detector(Protocol):
    """Finds the faces of a frame."""

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """(H, W, 3) uint8 BGR -> its faces, the most certain first; empty when there are none.

        Raises FrameError for a frame of another kind.
        """
        ...
