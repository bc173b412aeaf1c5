"""Runs of ONNX Runtime whose inputs and outputs may stay on the device."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Value, Values, to_host
from wordmask.backends.tensorrt.cuda_memory import CudaTensor

ELEMENT_TYPES = {"tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(float)": "float32"}


class OrtTensor:
    """A tensor in the memory of ONNX Runtime's device; see wordmask.backends.DeviceTensor."""

    def __init__(self, value: Any, memory: tuple[str, int], *, plugin: bool) -> None:
        """Args: value is an OrtValue; plugin is True if the provider of a plugin holds it."""
        self.value = value
        self.memory = memory
        self._plugin = plugin

    @property
    def shape(self) -> tuple[int, ...]:
        """See DeviceTensor."""
        return tuple(self.value.shape())

    @property
    def dtype(self) -> np.dtype[Any]:
        """See DeviceTensor."""
        return np.dtype(ELEMENT_TYPES[self.value.data_type()])

    def numpy(self) -> NDArray[Any]:
        """See DeviceTensor."""
        if not self._plugin:
            return np.asarray(self.value.numpy())
        import onnxruntime as ort  # noqa: PLC0415

        # OrtValue.numpy handles only the providers ONNX Runtime was built with
        host = ort.OrtValue.ortvalue_from_shape_and_type(list(self.shape), self.dtype.type)
        ort.copy_tensors([self.value], [host])
        return np.array(host.numpy())


def run_bound(
    session: Any,
    inputs: Values,
    outputs: Sequence[str],
    keep: Collection[str],
    memory: tuple[str, int],
    run_options: Any,
    *,
    plugin: bool = False,
) -> dict[str, Value]:
    """One run; when it returns, the device has done it.

    Args:
        session: an InferenceSession.
        inputs: by name; tensors in the same memory are read where they are, those of TensorRT's engines too.
        outputs: names of all outputs.
        keep: those that stay in the memory.
        memory: name and number of the device that the session's provider allocates on, such as ("cuda", 0).
        run_options: of ONNX Runtime.
        plugin: whether that provider is a plugin's.
    """
    binding = session.io_binding()
    for name, value in inputs.items():
        if isinstance(value, OrtTensor) and value.memory == memory:
            binding.bind_ortvalue_input(name, value.value)
        elif isinstance(value, CudaTensor) and memory == ("cuda", value.gpu.index) and not plugin:
            value.wait()
            binding.bind_input(name, *memory, value.dtype.type, list(value.shape), value.pointer)
        else:
            binding.bind_cpu_input(name, np.ascontiguousarray(to_host(value)))
    for name in outputs:
        binding.bind_output(name, *(memory if name in keep else ("cpu", 0)))
    binding.synchronize_inputs()
    session.run_with_iobinding(binding, run_options)
    binding.synchronize_outputs()
    results = dict(zip(outputs, binding.get_outputs(), strict=True))
    return {
        name: OrtTensor(value, memory, plugin=plugin) if name in keep else np.array(value.numpy())
        for name, value in results.items()
    }
