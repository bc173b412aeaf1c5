"""Names of devices, such as `cuda:1`: what runs a graph, and on which GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from wordmask.errors import DeviceError

Kind = Literal["cpu", "openvino", "openvino:bf16", "cuda", "tensorrt", "tensorrt-rtx"]
ON_CPU = ("cpu", "openvino", "openvino:bf16")


@dataclass(frozen=True)
class Device:
    """Who runs a graph, and CUDA's number of the GPU it runs on (0 on the CPU)."""

    kind: Kind
    index: int = 0

    @property
    def on_cpu(self) -> bool:
        """Whether the processor computes, in the host's memory."""
        return self.kind in ON_CPU

    def __str__(self) -> str:
        return self.kind if self.on_cpu else f"{self.kind}:{self.index}"


def parse_device(text: str) -> Device:
    """Reads `cpu`, `openvino`, `openvino:bf16`, or a GPU's `cuda`, `tensorrt` or `tensorrt-rtx`.

    The GPU's number may follow after a colon (0 without). `auto` is no device: wordmask.auto_device makes one of it.

    Raises:
        DeviceError: it is none of these.
    """
    if text in ON_CPU:
        return Device(cast(Kind, text))
    if text == "auto":
        raise DeviceError("device is 'auto', which stands only for the device of all graphs on this machine: name one")
    kind, colon, index = text.partition(":")
    numbered = index.isascii() and index.isdigit() and kind not in ON_CPU
    if kind not in get_args(Kind) or (colon and not numbered):
        raise DeviceError(
            f"device is {text!r}, expected auto, cpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx; "
            "a GPU's number may follow, such as cuda:1"
        )
    return Device(cast(Kind, kind), int(index or 0))
