"""The network in ONNX Runtime: three graphs, with the repeat-and-add kernel between them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine.folder import CARD, CARD_FORMAT, PARTS, SHIPPED_MODEL, read_model
from mfm_edge.engine.steps import run_parts
from mfm_edge.errors import ModelError
from mfm_edge.style import StyleKey

__all__ = ["CARD", "CARD_FORMAT", "PARTS", "SHIPPED_MODEL", "OnnxEngine"]


class OnnxEngine:
    """Loads a model folder: the three parts as .onnx and card.json with their sha256.

    folder: where the model lies; the shipped one when None. providers: ONNX Runtime's names in order of preference;
    CPU when None. A provider that was asked for but is not used is reported as a warning.
    threads: of ONNX Runtime within one graph; its own choice when None. trust_unknown_model: also execute files whose
    sha256 this package does not know.

    Raises ModelError when a file is missing, is not what the card says, or a provider is unknown.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        trust_unknown_model: bool = False,
    ) -> None:
        import onnxruntime

        model = read_model(folder, known_only=not trust_unknown_model)
        wanted = ["CPUExecutionProvider"] if providers is None else list(providers)
        available = onnxruntime.get_available_providers()
        unknown = [name for name in wanted if name not in available]
        if unknown:
            raise ModelError(f"providers: got {', '.join(unknown)}, takes any of {', '.join(available)}")
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning between the operators of a graph is what makes two threads faster than one; going on with it after
        # the graph would take the cores from the decoder and the encoder of a video.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._sessions: dict[str, Any] = {}
        for part in PARTS:
            self._sessions[part] = onnxruntime.InferenceSession(model.parts[part], options, providers=wanted)
        self.provider: str = self._sessions["decoder"].get_providers()[0]
        if self.provider != wanted[0]:
            warnings.warn(f"providers: asked for {wanted[0]}, running on {self.provider}", RuntimeWarning, stacklevel=2)
        self.model_id: str = model.model_id

    def modify(
        self, crops: NDArray[np.uint8], key: StyleKey, landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8]:
        """(N, 128, 128, 3) uint8 BGR -> the same shape; see Engine."""
        return run_parts(self.run_part, crops, key, landmarks)

    def run_part(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """One of the three graphs alone; see mfm_edge.engine.steps.RunPart."""
        ready = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        outputs: list[NDArray[np.float32]] = self._sessions[part].run(None, ready)
        return outputs
