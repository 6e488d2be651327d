"""The engine that the caller's providers ask for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mfm_edge.engine import Engine
from mfm_edge.engine.folder import Precision, check_precision
from mfm_edge.engine.onnx import CPU, OnnxEngine
from mfm_edge.engine.plans import Flavour
from mfm_edge.errors import ModelError

__all__ = ["AUTOMATIC", "OPENVINO", "TENSORRT", "TENSORRT_RTX", "open_engine"]

OPENVINO, TENSORRT_RTX, TENSORRT = "OpenVINO", "TensorRT-RTX", "TensorRT"
"""Not ONNX Runtime's: engines of their own."""
_IN_ONNX_RUNTIME = {
    "CPU": CPU,
    "CUDA": "CUDAExecutionProvider",
    "CoreML": "CoreMLExecutionProvider",
    "DirectML": "DmlExecutionProvider",
}
AUTOMATIC = (TENSORRT_RTX, TENSORRT, "CUDA", "DirectML", "CPU")
"""Not CoreML, which computes in float16 where it likes, and what that costs restoring was never measured; and not the
TensorRT of ONNX Runtime, which builds for minutes at its first start; and not OpenVINO: it took 0.9 to 1.5 of ONNX
Runtime's time in f32 and 0.8 to 1.1 in bf16, by machine, and half as much memory again."""


def open_engine(
    folder: Path | None = None,
    *,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    callers: int = 1,
    precision: str | None = None,
    strict: bool = False,
    trust_unknown_model: bool = False,
) -> Engine:
    """An engine for a model folder, the shipped one's when None.

    providers: in order of preference: "CPU", "OpenVINO", "CUDA", "TensorRT-RTX", "TensorRT", "CoreML", "DirectML", or a
    name of ONNX Runtime's. The first one that really runs the network is used. When that is not the first of the list,
    a warning says what was asked for, what is used and why; strict makes it an error. None: the first of AUTOMATIC that
    runs, without a word. threads: of the CPU, for a call; the runtime's own choice when None.
    callers: how many calls at the same time it is to be fast for.
    precision: see mfm_edge.engine.folder; None: each engine's own default, with "OpenVINO" also "bf16".
    trust_unknown_model: also execute files whose sha256 this package does not know.

    Raises ModelError when none runs, or a file of the model is missing or is not what its card says.
    """
    wanted = list(AUTOMATIC if providers is None else providers)
    if not wanted:
        raise ModelError("providers: got none, takes at least one, or None for the best one that runs")
    reasons: list[str] = []
    for name in wanted:
        try:
            engine = _open(name, folder, threads, callers, precision, trust_unknown_model)
        except ModelError as error:
            if providers is not None and (strict or len(wanted) == 1):
                raise
            reasons.append(str(error))
            continue
        if reasons and providers is not None:
            text = f"providers: asked for {wanted[0]}, running on {engine.provider} ({'; '.join(reasons)})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return engine
    raise ModelError(reasons[-1] if providers is None else f"providers: none of these runs: {'; '.join(reasons)}")


def _open(
    name: str, folder: Path | None, threads: int | None, callers: int, precision: str | None, trust: bool
) -> Engine:
    if name == OPENVINO:
        from mfm_edge.engine.openvino import OpenVinoEngine

        return OpenVinoEngine(folder, threads=threads, callers=callers, precision=precision, trust_unknown_model=trust)
    if precision is not None:
        check_precision(precision)
    known = cast("Precision | None", precision)
    if name in (TENSORRT_RTX, TENSORRT):
        from mfm_edge.engine.tensorrt import TensorRtEngine

        flavour: Flavour = "tensorrt" if name == TENSORRT else "tensorrt_rtx"
        return TensorRtEngine(folder, flavour=flavour, precision=known, trust_unknown_model=trust)
    provider = _IN_ONNX_RUNTIME.get(name, name)
    return OnnxEngine(folder, provider=provider, threads=threads, precision=known or "f32", trust_unknown_model=trust)
