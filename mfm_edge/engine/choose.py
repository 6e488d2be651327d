"""The engine that the caller's providers ask for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from mfm_edge.engine import Engine
from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.errors import ModelError

__all__ = ["OPENVINO", "open_engine"]

OPENVINO = "OpenVINO"


def open_engine(
    folder: Path | None = None,
    *,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    trust_unknown_model: bool = False,
) -> Engine:
    """An engine for a model folder. "OpenVINO" as the first of `providers` asks for OpenVinoEngine; all other names are
    ONNX Runtime's, see OnnxEngine. Those after "OpenVINO" are used, with a warning, where it cannot run.
    trust_unknown_model: also execute files whose sha256 this package does not know.

    Raises ModelError.
    """
    wanted = None if providers is None else list(providers)
    if not wanted or wanted[0] != OPENVINO:
        return OnnxEngine(folder, providers=wanted, threads=threads, trust_unknown_model=trust_unknown_model)
    from mfm_edge.engine.openvino import OpenVinoEngine

    try:
        return OpenVinoEngine(folder, threads=threads, trust_unknown_model=trust_unknown_model)
    except ModelError as error:
        if not wanted[1:]:
            raise
        engine = OnnxEngine(folder, providers=wanted[1:], threads=threads, trust_unknown_model=trust_unknown_model)
        warnings.warn(
            f"providers: asked for {OPENVINO}, running on {engine.provider} ({error})", RuntimeWarning, stacklevel=2
        )
        return engine
