"""The network in ONNX Runtime: three graphs, with the repeat-and-add kernel between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine import GPU_BATCH, Modified
from mfm_edge.engine.folder import CARD, CARD_FORMAT, PARTS, SHIPPED_MODEL, Precision, read_model
from mfm_edge.engine.steps import run_parts
from mfm_edge.errors import ModelError
from mfm_edge.style import StyleKey

__all__ = ["CARD", "CARD_FORMAT", "CPU", "PARTS", "SHIPPED_MODEL", "OnnxEngine"]

CPU = "CPUExecutionProvider"


class OnnxEngine:
    """Loads a model folder: the three parts as .onnx and card.json with their sha256.

    folder: where the model lies; the shipped one when None. provider: ONNX Runtime's name; what it cannot run of the
    network runs on the CPU. threads: of ONNX Runtime within one graph; its own choice when None. precision: see
    mfm_edge.engine.folder. trust_unknown_model: also execute files whose sha256 this package does not know.

    Raises ModelError when a file is missing or is not what the card says, or when the provider is not offered, or is
    offered but not used, as where its libraries or its device are missing.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        provider: str = CPU,
        threads: int | None = None,
        precision: Precision = "f32",
        trust_unknown_model: bool = False,
    ) -> None:
        import onnxruntime

        model = read_model(folder, precision, known_only=not trust_unknown_model)
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise ModelError(
                f"providers: got {provider}, which is not among {', '.join(available)} of this ONNX Runtime"
            )
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning between the operators of a graph is what makes two threads faster than one; going on with it after
        # the graph would take the cores from the decoder and the encoder of a video.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._sessions: dict[str, Any] = {}
        wanted = [provider] if provider == CPU else [provider, CPU]
        for part in PARTS:
            session = onnxruntime.InferenceSession(model.parts[part], options, providers=wanted)
            # Where a provider cannot start, ONNX Runtime goes on without it and says nothing that a program could see.
            if (used := session.get_providers()[0]) != provider:
                raise ModelError(f"providers: got {provider}, which ONNX Runtime offers, but it runs on {used}")
            self._sessions[part] = session
        self.on_cpu: bool = provider == CPU
        self.batch: int = 4 if self.on_cpu else GPU_BATCH
        self.provider: str = provider if precision == "f32" else f"{provider}, {precision}"
        self.model_id: str = model.model_id

    def modify(
        self, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
    ) -> Modified:
        """(N, 128, 128, 3) uint8 BGR, a key each; see Engine."""
        return run_parts(self.run_part, crops, keys, landmarks)

    def run_part(self, part: str, /, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """One of the three graphs alone; see mfm_edge.engine.steps.RunPart."""
        ready = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        outputs: list[NDArray[np.float32]] = self._sessions[part].run(None, ready)
        return outputs
