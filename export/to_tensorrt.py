"""python -m export.to_tensorrt: engines of the one graph, built ahead of time, with a description each.

TensorRT for RTX (extra: trt) builds for GPUs that are not there: one engine for SM75, in f16 since it has no float32
products there, and one for SM80, SM86, SM89 and SM120 together. The classic TensorRT builds for the GPU of this machine
alone.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np

from export.fuse import fuse
from mfm_edge.engine import GPU_BATCH
from mfm_edge.engine.cuda import CudaStream
from mfm_edge.engine.folder import SHIPPED_MODEL, Model, Precision, read_model
from mfm_edge.engine.plans import Flavour, Plan, default_folder, default_precision, write_plan
from mfm_edge.errors import MfmError, ModelError

__all__ = ["RTX_TARGETS", "build", "main"]

RTX_TARGETS = ((75,), (80, 86, 89, 120))
"""Compute capabilities that share an engine of TensorRT for RTX."""


def build(
    model: Model, *, flavour: Flavour, precision: Precision, targets: Sequence[int], timing_cache: Path | None = None
) -> tuple[Plan, bytes]:
    """Build an engine and describe it.

    precision: of `model`; the graph's own types decide. targets: for the classic TensorRT the one GPU of this machine.
    timing_cache: of the classic TensorRT, read when it is there, and written.
    Two builds are of one size but not one content: TensorRT for RTX 1.7 numbers what it makes of a large graph as its
    threads go. So the description names the one file that was written.
    Raises ModelError when TensorRT is missing or refuses the graph, with its reasons.
    """
    try:
        trt = import_module(flavour)
    except (ImportError, OSError) as error:  # OSError names the library that is missing
        raise ModelError(f"engine: cannot import {flavour} ({error})") from None
    content = fuse(model).SerializeToString()
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        reasons = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ModelError(f"engine: {flavour} cannot read the graph: {reasons}")
    config = builder.create_builder_config()
    _take_any_batch(builder, network, config)
    if flavour == "tensorrt_rtx":
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target}"), index)
    elif timing_cache is not None:
        known = timing_cache.read_bytes() if timing_cache.exists() else b""
        config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(f"engine: {flavour} cannot build for SM{', SM'.join(map(str, targets))}: {logger.reasons()}")
    if flavour == "tensorrt" and timing_cache is not None:
        timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    plan = Plan(
        flavour=flavour,
        version=trt.__version__,
        targets=tuple(targets),
        model_id=model.model_id,
        precision=precision,
        batch=GPU_BATCH,
        inputs={tensor.name: _described(trt, tensor) for tensor in _inputs(network)},
        outputs={tensor.name: _described(trt, tensor) for tensor in _outputs(network)},
        onnx_sha256=hashlib.sha256(content).hexdigest(),
        engine_sha256=hashlib.sha256(bytes(engine)).hexdigest(),
    )
    return plan, bytes(engine)


def _take_any_batch(builder: Any, network: Any, config: Any) -> None:
    profile = builder.create_optimization_profile()
    for tensor in _inputs(network):
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (1, *rest), (GPU_BATCH, *rest))
    config.add_optimization_profile(profile)


def _inputs(network: Any) -> list[Any]:
    return [network.get_input(index) for index in range(network.num_inputs)]


def _outputs(network: Any) -> list[Any]:
    return [network.get_output(index) for index in range(network.num_outputs)]


def _described(trt: Any, tensor: Any) -> dict[str, Any]:
    return {"dtype": np.dtype(trt.nptype(tensor.dtype)).name, "shape": list(tensor.shape)}


def _logger(trt: Any) -> Any:
    """TensorRT tells why it refuses through its logger alone."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._reasons: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._reasons.append(message)

        def reasons(self) -> str:
            return "; ".join(self._reasons)

    return Logger()


def main(argv: list[str] | None = None) -> int:
    """Builds the engines and gives the exit code: 1 when one cannot be built."""
    parser = argparse.ArgumentParser(
        prog="python -m export.to_tensorrt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder (default: the shipped model)")
    parser.add_argument("--out", type=Path, default=default_folder(), help="where the SDK looks (default: %(default)s)")
    parser.add_argument("--flavour", choices=get_args(Flavour), default="tensorrt_rtx")
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="see export.quantise (default: f32, SM75: f16)"
    )
    parser.add_argument("--timing-cache", type=Path, help="of the classic TensorRT: what it timed, for the next build")
    args = parser.parse_args(argv)
    failed = False
    try:
        targets = RTX_TARGETS if args.flavour == "tensorrt_rtx" else ((CudaStream().compute_capability,),)
    except MfmError as error:
        print(f"export.to_tensorrt: {error}", file=sys.stderr)
        return 1
    for together in targets:
        precision = args.precision or default_precision(args.flavour, together[0])
        try:
            plan, engine = build(
                read_model(args.model, precision),
                flavour=args.flavour,
                precision=precision,
                targets=together,
                timing_cache=args.timing_cache,
            )
            print(write_plan(args.out, plan, engine))
        except MfmError as error:
            failed = True
            print(f"export.to_tensorrt: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
