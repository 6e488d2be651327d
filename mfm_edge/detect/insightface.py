"""SCRFD and RetinaFace detectors of the insightface package, from a model file that you provide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, ModelError
from mfm_edge.session import check_threshold
from mfm_edge.types import Face, check_frame

__all__ = ["InsightFaceDetector"]


class InsightFaceDetector:
    """Runs a detection model in insightface's own code. Needs `pip install 'mfm-edge[insightface]'`.

    model_file: an .onnx of SCRFD or RetinaFace with landmarks (such as det_10g.onnx). Nothing is downloaded;
    insightface's own models are for non-commercial research.
    score: the least confidence that counts as a face, 0..1. side: frames are fitted into a square of so many px for the
    network, a multiple of 32; models of a fixed size keep theirs.

    Raises ArgumentError for a bad option, ModelError when the package or the file is missing or the file is another
    kind of model.
    """

    def __init__(self, model_file: Path | str, *, score: float = 0.5, side: int = 640) -> None:
        path = Path(model_file)
        score = check_threshold("score", score)
        if isinstance(side, bool) or not isinstance(side, int) or side < 64 or side % 32:
            raise ArgumentError(f"side: got {side!r}, takes a multiple of 32 px from 64")
        takes = "the path of an SCRFD or RetinaFace .onnx file"
        if path.suffix != ".onnx" or not path.is_file():
            raise ModelError(f"model_file: got {path}, which is not a file ending in .onnx; takes {takes}")
        try:
            from insightface.model_zoo import get_model
        except ImportError as error:
            raise ModelError(
                f"insightface: cannot be imported ({error}); install it with: pip install 'mfm-edge[insightface]'"
            ) from None
        try:
            model = get_model(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # the package lets whatever its backends raise through
            raise ModelError(f"model_file: insightface cannot load {path} ({error}); takes {takes}") from None
        kind = getattr(model, "taskname", None)
        if kind != "detection":
            raise ModelError(
                f"model_file: {path} is {'no known model' if kind is None else f'for {kind}'}; takes {takes}"
            )
        model.prepare(ctx_id=-1, input_size=(side, side), det_thresh=score)
        self._model, self._path = model, path

    def detect(self, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """The faces of a (H, W, 3) uint8 BGR frame, the most certain first.

        Raises FrameError for another frame, ModelError when the model gives no landmarks.
        """
        boxes, points = self._model.detect(np.ascontiguousarray(check_frame(frame)))
        if points is None:
            raise ModelError(f"model_file: {self._path} gives no landmarks; takes a detection model that does")
        faces = [
            Face(box=row[:4], landmarks=landmarks, score=min(max(float(row[4]), 0.0), 1.0))
            for row, landmarks in zip(boxes, points, strict=True)
        ]
        return tuple(sorted(faces, key=lambda face: -face.score))
