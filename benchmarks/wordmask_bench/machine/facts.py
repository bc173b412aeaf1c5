"""Facts about a machine: GPU, driver, libraries. Each is yielded as soon as it has been determined."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wordmask.backends.onnxruntime.graph import import_onnxruntime

DISTRIBUTIONS = (
    "numpy",
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-cu13-bindings",
    "tensorrt-rtx",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "cuda-python",
    "cuda-bindings",
    "open_clip_torch",
    "sam2",
)
MODULES = ("tensorrt", "cuda.bindings", "onnxruntime_ep_nv_tensorrt_rtx")
SMI_FIELDS = ("name", "driver_version", "compute_cap", "memory.total", "clocks.max.sm", "power.limit")


def facts() -> Iterator[tuple[str, Any]]:
    """Name and value of each fact; tensorrt is imported last, because a broken one may end the process."""
    yield "python", platform.python_version()
    yield "machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    yield "packages", {name: version for name in DISTRIBUTIONS if (version := installed_version(name))}
    yield "modules", {name: _importable(name) for name in MODULES}
    yield "nvidia_smi", nvidia_smi()
    yield "torch", _torch()
    ort = import_onnxruntime()
    yield "onnxruntime", {"version": ort.__version__, "providers": ort.get_available_providers()}
    yield "tensorrt", _tensorrt()


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def installed_version(distribution: str) -> str | None:
    """Version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def nvidia_smi(fields: Sequence[str] = SMI_FIELDS, options: str = "csv,noheader") -> dict[str, str] | None:
    """Facts of the first GPU by nvidia-smi's field names; None without the program or without a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={','.join(fields)}", f"--format={options}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    first = done.stdout.strip().splitlines()[:1]
    if done.returncode or not first:
        return None
    return dict(zip(fields, (value.strip() for value in first[0].split(",")), strict=False))


def gpu_megabytes_used() -> float | None:
    """Memory in use on the first GPU, by all processes; None without a GPU."""
    found = nvidia_smi(("memory.used",), "csv,noheader,nounits")
    return float(found["memory.used"]) * 1024**2 / 1e6 if found else None


def _torch() -> dict[str, Any]:
    import torch  # noqa: PLC0415

    found: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda, "gpu": None}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 1024**3, 1),
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return found


def _tensorrt() -> dict[str, Any] | None:
    """Version and shared libraries, which tell TensorRT from TensorRT-RTX; None if it is not installed."""
    try:
        import tensorrt  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    except (ImportError, OSError) as error:
        return {"version": None, "libraries": [], "rtx": False, "unusable": str(error)}
    libraries = _loaded("nvinfer", "tensorrt")
    return {
        "version": tensorrt.__version__,
        "libraries": libraries,
        "rtx": any("tensorrt_rtx" in library for library in libraries),
    }


def _loaded(*parts: str) -> list[str]:
    """Names of shared libraries in this process that contain one of the parts."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return []
    files = {line.split()[-1] for line in maps.read_text(encoding="utf-8").splitlines() if "/" in line}
    names = {Path(file).name for file in files if ".so" in file}
    return sorted(name for name in names if any(part in name for part in parts))
