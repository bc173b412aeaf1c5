"""The GPU for TensorRT's engines, through cuda-python. Every status is checked."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from wordmask.bundle.engines import Target
from wordmask.errors import DeviceError, MissingExtraError, install_hint

logger = logging.getLogger(__name__)


class GpuMemoryError(DeviceError, MemoryError):
    """The GPU's memory is used up."""


class _Recording(threading.local):
    """Whether this thread records a CUDA graph, and the resources to free afterwards: to free one would break it."""

    def __init__(self) -> None:
        self.active = False
        self.to_free: list[tuple[Gpu, str, Any]] = []


_recording = _Recording()


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """While this thread records a CUDA graph: what becomes garbage here is freed at the end."""
    _recording.active = True
    try:
        yield
    finally:
        _recording.active = False
        while _recording.to_free:
            gpu, name, handle = _recording.to_free.pop(0)
            gpu.release(name, handle)


class Gpu:
    """One GPU."""

    def __init__(self, index: int) -> None:
        """Makes it this thread's current GPU.

        Args:
            index: CUDA's number of the GPU.

        Raises:
            MissingExtraError: cuda-python is not installed.
            DeviceError: there is no such GPU, or no driver.
        """
        self.index = index
        self.runtime = import_runtime()
        self.use()

    def use(self) -> None:
        """Makes it this thread's current GPU, which allocations and new streams belong to."""
        self.call("cudaSetDevice", self.index)

    def call(self, name: str, *arguments: Any) -> Any:
        """The value of a function of CUDA's runtime, or None if it has none.

        Raises:
            GpuMemoryError: not enough memory.
            DeviceError: it failed otherwise; the message has its name and CUDA's reason.
        """
        status, *values = getattr(self.runtime, name)(*arguments)
        if status != self.runtime.cudaError_t.cudaSuccess:
            self.runtime.cudaGetLastError()  # else the next call of anybody would report this error again
            raise self._failure(name, status)
        return values[0] if values else None

    def release(self, name: str, handle: Any) -> None:
        """Frees a resource. For finalizers: a failure is logged, because it cannot be caught."""
        if _recording.active:
            _recording.to_free.append((self, name, handle))
            return
        try:
            self.call(name, handle)
        except DeviceError as error:
            logger.warning("%s", error)

    def _failure(self, name: str, status: Any) -> DeviceError:
        if status == self.runtime.cudaError_t.cudaErrorMemoryAllocation:
            return GpuMemoryError(
                f"GPU {self.index} is out of memory ({name}): close what else uses it (nvidia-smi lists that), build "
                "engines for a smaller --max-batch, or put LoftUp elsewhere with --upsampler-device"
            )
        code = self.runtime.cudaGetErrorName(status)[1].decode()
        reason = self.runtime.cudaGetErrorString(status)[1].decode()
        return DeviceError(f"GPU {self.index}: {name} failed with {code} ({reason}); nvidia-smi lists the GPUs")


def import_runtime() -> Any:
    """cuda-python's module of CUDA's runtime functions.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: it cannot be loaded.
    """
    try:
        from cuda.bindings import runtime  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("TensorRT", "trt", error.name or "cuda") from error
    except (ImportError, OSError) as error:
        raise DeviceError(f"cuda-python cannot be loaded ({error}); {install_hint('trt')} --force-reinstall") from error
    return runtime


def import_tensorrt() -> Any:
    """The tensorrt module.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: it cannot be loaded.
    """
    try:
        import tensorrt as trt  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("TensorRT", "trt", error.name or "tensorrt") from error
    except (ImportError, OSError) as error:
        raise DeviceError(f"TensorRT cannot be loaded ({error}); {install_hint('trt')} --force-reinstall") from error
    return trt


def target_of(device: int) -> tuple[Target, str]:
    """What plans for a GPU must be built for, and the GPU's name.

    Args:
        device: CUDA's number of the GPU.

    Raises:
        MissingExtraError: tensorrt or cuda-python is not installed.
        DeviceError: there is no such GPU, or no driver.
    """
    trt, runtime = import_tensorrt(), import_runtime()
    properties = _answer(runtime, runtime.cudaGetDeviceProperties(device), device)
    name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
    return Target(trt.__version__, f"sm_{properties.major}{properties.minor}"), name.rstrip("\0")


def _answer(runtime: Any, answered: tuple[Any, ...], device: int) -> Any:
    """The value of a CUDA call, whose first part is its status."""
    status, value = answered
    if status != runtime.cudaError_t.cudaSuccess:
        reason = runtime.cudaGetErrorString(status)[1].decode()
        raise DeviceError(f"GPU {device} cannot be used ({reason}); nvidia-smi lists the GPUs of this machine")
    return value
