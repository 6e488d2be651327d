"""What TensorRT needs of CUDA: memory on the device, copies in one stream, and work recorded to be played again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from mfm_edge.errors import ModelError

__all__ = ["CudaStream"]


class CudaStream:
    """A stream on the first device, and the device memory that was taken through it.

    Raises ModelError when cuda-bindings, a driver or a device is missing, and whenever CUDA reports an error.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise ModelError(
                f"engine: cannot import cuda.bindings ({error}), takes `pip install cuda-bindings`"
            ) from None
        self._cuda: Any = runtime
        if self._call("cudaGetDeviceCount") < 1:
            raise ModelError("engine: found no CUDA device")
        self._call("cudaSetDevice", 0)
        self.handle: Any = self._call("cudaStreamCreate")
        self._memory: list[Any] = []

    @property
    def compute_capability(self) -> int:
        """Of the device, 89 for 8.9."""
        attribute = self._cuda.cudaDeviceAttr
        major = self._call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMajor, 0)
        minor = self._call("cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMinor, 0)
        return 10 * int(major) + int(minor)

    def allocate(self, size: int) -> int:
        """Device memory of so many bytes, until close."""
        address = self._call("cudaMalloc", size)
        self._memory.append(address)
        return int(address)

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a C-contiguous array to the device."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.handle)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy from the device into a C-contiguous array; it is there after synchronize."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.handle)

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self.handle)

    def record(self, work: Callable[[], None]) -> Any:
        """What `work` puts into the stream, not yet run: a graph for `play`."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.handle, mode)
        try:
            work()
        finally:
            graph = self._call("cudaStreamEndCapture", self.handle)
        ready = self._call("cudaGraphInstantiate", graph, 0)
        self._call("cudaGraphDestroy", graph)
        return ready

    def play(self, graph: Any) -> None:
        self._call("cudaGraphLaunch", graph, self.handle)

    def close(self) -> None:
        """Give the memory back."""
        while self._memory:
            self._call("cudaFree", self._memory.pop())
        self._call("cudaStreamDestroy", self.handle)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            status, *results = getattr(self._cuda, name)(*arguments)
        except RuntimeError as error:  # cuda-bindings finds no libcudart
            raise ModelError(f"engine: {name}: {error}") from None
        if int(status) != 0:
            raise ModelError(f"engine: {name} reports {status!r}")
        return results[0] if results else None
