"""The network on an NVIDIA GPU: the one graph as an engine that `python -m export.to_tensorrt` built.

No machine of this project has a GPU: this is written against the APIs, and tested with stand-ins for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.engine import Modified
from mfm_edge.engine.cuda import CudaStream
from mfm_edge.engine.folder import Precision, read_model
from mfm_edge.engine.fused import RunWhole
from mfm_edge.engine.plans import Flavour, default_folder, default_precision, find_plan, read_engine
from mfm_edge.engine.steps import run_parts
from mfm_edge.errors import ModelError
from mfm_edge.style import StyleKey

__all__ = ["TensorRtEngine"]


class TensorRtEngine:
    """Loads the engine that fits this GPU, this TensorRT and the model from a folder of built ones.

    folder: the model's; the shipped one when None. engines: where built engines lie; the user's cache when None.
    flavour: TensorRT for RTX, or the classic one. precision: as the engine was built; f32, on SM75 f16, when None.
    trust_unknown_model: also take engines of models whose sha256 this package does not know.

    Raises ModelError when TensorRT, cuda-bindings, a GPU or a fitting engine is missing, or an engine is damaged.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        flavour: Flavour = "tensorrt_rtx",
        precision: Precision | None = None,
        engines: Path | None = None,
        trust_unknown_model: bool = False,
    ) -> None:
        try:
            self._trt: Any = import_module(flavour)
        except (ImportError, OSError) as error:  # OSError: one of its libraries is not there
            raise ModelError(
                f"engine: cannot import {flavour} ({error}), takes `pip install 'mfm-edge[trt]'`"
            ) from None
        self.model_id: str = read_model(folder, known_only=not trust_unknown_model).model_id
        self._stream = CudaStream()
        where = default_folder() if engines is None else engines
        target = self._stream.compute_capability
        precision = precision or default_precision(flavour, target)
        plan = find_plan(
            where,
            flavour=flavour,
            version=self._trt.__version__,
            target=target,
            model_id=self.model_id,
            precision=precision,
        )
        # The logger, too, must outlive the engine.
        self._runtime = self._trt.Runtime(self._trt.Logger(self._trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(read_engine(where, plan))
        if self._engine is None:
            raise ModelError(f"engine: {flavour} cannot load {plan.name}, see its messages above")
        self.batch: int = plan.batch
        self._addresses: dict[str, int] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._outputs: list[str] = []
        for index in range(self._engine.num_io_tensors):
            self._prepare(self._engine.get_tensor_name(index))
        self._recorded: dict[int, tuple[Any, Any]] = {}
        """Execution context and recorded work by number of faces: what is recorded is void once its context changes."""
        self.on_cpu: bool = False
        self.provider: str = f"{flavour} on SM{target}, {precision}"

    def modify(
        self, crops: NDArray[np.uint8], keys: Sequence[StyleKey], landmarks: NDArray[np.float32] | None = None
    ) -> Modified:
        """(N, 128, 128, 3) uint8 BGR, a key each; see Engine. Raises ModelError for more faces than the engine was
        built for."""
        if len(crops) > self.batch:
            raise ModelError(f"crops: got {len(crops)} faces, takes {self.batch} at once with this engine")
        return run_parts(RunWhole(self._run), crops, keys, landmarks)

    def _prepare(self, name: str) -> None:
        """Memory on the device for the largest batch."""
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
        shape = tuple(self._engine.get_tensor_shape(name))[1:]
        self._dtypes[name], self._shapes[name] = dtype, shape
        self._addresses[name] = self._stream.allocate(self.batch * prod(shape) * dtype.itemsize)
        if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT:
            self._outputs.append(name)

    def _run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        count = len(inputs["crop"])
        # Kept until synchronize: the copies go on after the call.
        ready = {name: np.ascontiguousarray(value, self._dtypes[name]) for name, value in inputs.items()}
        for name, value in ready.items():
            self._stream.upload(self._addresses[name], value)
        if count not in self._recorded:
            self._recorded[count] = self._record({name: value.shape for name, value in ready.items()})
        self._stream.play(self._recorded[count][1])
        found = {name: np.empty((count, *self._shapes[name]), np.float32) for name in self._outputs}
        for name, array in found.items():
            self._stream.download(array, self._addresses[name])
        self._stream.synchronize()
        return found

    def _record(self, shapes: dict[str, tuple[int, ...]]) -> tuple[Any, Any]:
        context = self._engine.create_execution_context()
        for name, address in self._addresses.items():
            context.set_tensor_address(name, address)
        for name, shape in shapes.items():
            context.set_input_shape(name, shape)

        def enqueue() -> None:
            if not context.execute_async_v3(self._stream.handle):
                raise ModelError("engine: TensorRT did not run the network, see its messages above")

        enqueue()  # the first time it compiles and allocates, which cannot be recorded
        self._stream.synchronize()
        return context, self._stream.record(enqueue)
