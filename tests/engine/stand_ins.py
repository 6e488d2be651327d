"""Stand-ins for CUDA and TensorRT: device memory is host memory, and the engine's bytes are the ONNX graph it was built
from, which ONNX Runtime runs. What is recorded must be played, and addresses and shapes must be set before."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

SM = 89


class FakeCuda:
    """cuda.bindings.runtime, as far as mfm_edge.engine.cuda uses it. calls: the names of what was called."""

    cudaDeviceAttr = SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor="major", cudaDevAttrComputeCapabilityMinor="minor"
    )
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, devices: int = 1) -> None:
        self.devices, self.calls = devices, []
        self.memory: dict[int, Any] = {}
        self.recording: list[Any] | None = None

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and callable(found := object.__getattribute__(self, name)):
            object.__getattribute__(self, "calls").append(name)
            return found
        return object.__getattribute__(self, name)

    def cudaGetDeviceCount(self):
        return 0, self.devices

    def cudaSetDevice(self, _device):
        return (0,)

    def cudaDeviceGetAttribute(self, attribute, _device):
        return 0, divmod(SM, 10)[attribute == "minor"]

    def cudaStreamCreate(self):
        return 0, self

    def cudaStreamDestroy(self, _stream):
        return (0,)

    def cudaMalloc(self, size):
        block = (ctypes.c_byte * size)()
        self.memory[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    def cudaFree(self, address):
        del self.memory[address]
        return (0,)

    def cudaMemcpyAsync(self, to, source, size, kind, _stream):
        block = self.memory[to if kind == 1 else source]
        if size > len(block):
            return (1,)
        ctypes.memmove(to, source, size)
        return (0,)

    def cudaStreamSynchronize(self, _stream):
        return (0,)

    def cudaStreamBeginCapture(self, _stream, _mode):
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, _stream):
        work, self.recording = self.recording, None
        return 0, work

    def cudaGraphInstantiate(self, graph, _flags):
        return 0, list(graph)

    def cudaGraphDestroy(self, _graph):
        return (0,)

    def cudaGraphLaunch(self, graph, _stream):
        for work in graph:
            work()
        return (0,)


class FakeEngine:
    def __init__(self, content: bytes) -> None:
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.tensors = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.outputs = {tensor.name for tensor in self.session.get_outputs()}
        self.num_io_tensors = len(self.tensors)

    def _tensor(self, name: str) -> Any:
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index].name

    def get_tensor_mode(self, name: str) -> str:
        return "output" if name in self.outputs else "input"

    def get_tensor_dtype(self, name: str) -> str:
        return self._tensor(name).type

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1, *self._tensor(name).shape[1:]]

    def create_execution_context(self) -> FakeContext:
        return FakeContext(self)


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.addresses, self.shapes = engine, {}, {}

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.shapes[name] = tuple(shape)

    def execute_async_v3(self, stream: FakeCuda) -> bool:
        if self.addresses.keys() != {tensor.name for tensor in self.engine.tensors}:
            return False
        if stream.recording is None:
            self._run()
        else:
            stream.recording.append(self._run)
        return True

    def _run(self) -> None:
        given = {name: self._view(name, shape) for name, shape in self.shapes.items()}
        for tensor, output in zip(self.engine.session.get_outputs(), self.engine.session.run(None, given), strict=True):
            self._view(tensor.name, output.shape)[...] = output

    def _view(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = fake_nptype(self.engine.get_tensor_dtype(name))
        block = (ctypes.c_byte * (int(np.prod(shape)) * dtype.itemsize)).from_address(self.addresses[name])
        return np.frombuffer(block, dtype).reshape(shape)


def fake_nptype(kind: str) -> np.dtype:
    return np.dtype({"tensor(float)": np.float32, "tensor(int64)": np.int64}[kind])


class FakeLogger:
    ERROR = 1

    def __init__(self, _severity: int) -> None:
        return


fake_tensorrt = SimpleNamespace(
    __version__="1.2.3",
    Logger=FakeLogger,
    Runtime=lambda _logger: SimpleNamespace(deserialize_cuda_engine=FakeEngine),
    TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
    nptype=fake_nptype,
)
