"""Names of devices, such as `cuda:1`: what runs a graph, and on which GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from wordmask.errors import DeviceError

Kind = Literal["cpu", "cuda", "tensorrt", "tensorrt-rtx"]


@dataclass(frozen=True)
class Device:
    """Who runs a graph, and CUDA's number of the GPU it runs on (0 on the CPU)."""

    kind: Kind
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def parse_device(text: str) -> Device:
    """Reads `cpu`, or `cuda`, `tensorrt` or `tensorrt-rtx` with the GPU's number after a colon (0 without).

    Raises:
        DeviceError: it is none of these.
    """
    kind, colon, index = text.partition(":")
    numbered = index.isascii() and index.isdigit() and kind != "cpu"
    if kind not in get_args(Kind) or (colon and not numbered):
        raise DeviceError(
            f"device is {text!r}, expected cpu, cuda, tensorrt or tensorrt-rtx; "
            "a GPU's number may follow, such as cuda:1"
        )
    return Device(cast(Kind, kind), int(index or 0))
