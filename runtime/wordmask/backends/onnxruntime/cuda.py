"""CUDA in ONNX Runtime: its libraries, its messages, and what its errors mean.

ONNX Runtime opens a session on the CPU where a library is missing, and raises RuntimeError where the driver refuses.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import re
from collections.abc import Iterator
from functools import cache as once
from pathlib import Path
from typing import Any

from wordmask.errors import install_hint

logger = logging.getLogger(__name__)

PROVIDER = "CUDAExecutionProvider"
LIBRARIES = ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so")
DRIVER = "libcuda.so.1"
WARNINGS, ERRORS = 2, 3  # ONNX Runtime's levels of its log; the first is its default
# As CUDA's runtime numbers its errors; the reason follows in ONNX Runtime's message.
ADVICE = {
    35: "the driver is too old for this onnxruntime-gpu: update the driver, or install an onnxruntime-gpu for its CUDA",
    100: "nvidia-smi lists the GPUs; $CUDA_VISIBLE_DEVICES may hide them",
    101: "nvidia-smi lists the GPUs of this machine",
    209: "this onnxruntime-gpu has no code for this GPU: use another --device",
    803: "the driver and its library are of different versions: restart the machine, or install the driver again",
    804: "the driver is too old for the installed cuda-compat: remove that, or update the driver",
}
_FAILURE = re.compile(r"(?:CUDA|CUDNN|CUBLAS|CUFFT)\w* failure (?P<code>\d+): (?P<reason>[^;]+?) *;")
_NO_CUDNN = re.compile(r"cuDNN is unavailable.*?: *(?P<reason>[^;]*)")
_NO_SUCH_GPU = re.compile(r"Invalid device id[^;]*", re.IGNORECASE)


@once
def preload_cuda(ort: Any) -> None:
    """Loads the CUDA and cuDNN libraries that pip installed, once a process: ONNX Runtime does not look for them."""
    if hasattr(ort, "preload_dlls"):  # since 1.21
        with contextlib.redirect_stdout(io.StringIO()) as messages:
            ort.preload_dlls(msvc=False)
        if messages.getvalue():
            logger.info("ONNX Runtime, loading CUDA's libraries: %s", messages.getvalue().strip())


@contextlib.contextmanager
def without_warnings(ort: Any) -> Iterator[None]:
    """Lets ONNX Runtime log only errors while a session on CUDA opens.

    It looks for CUDA among its plugins first and warns that there is none, before it takes the provider it was built
    with. Its other warning there, that CUDA could not start, is an error of `check_assignment`.
    """
    if not hasattr(ort, "set_default_logger_severity"):
        yield
        return
    ort.set_default_logger_severity(ERRORS)
    try:
        yield
    finally:
        ort.set_default_logger_severity(WARNINGS)


def failure(error: Exception) -> str | None:
    """What a CUDA error of ONNX Runtime means and what to do; None if it is no error of CUDA."""
    text = " ".join(str(error).split())
    if found := _FAILURE.search(text):
        advice = ADVICE.get(int(found["code"]), "nvidia-smi says whether the driver works")
        return f"CUDA failure {found['code']}, {found['reason']}: {advice}"
    if found := _NO_CUDNN.search(text):
        reason = found["reason"].strip()
        return f"cuDNN cannot be used{f' ({reason})' if reason else ''}: {install_hint('gpu')} brings it"
    if found := _NO_SUCH_GPU.search(text):
        return f"{found[0].strip()}: {ADVICE[101]}"
    return None


def missing_library(ort: Any) -> str | None:
    """Why the library of ONNX Runtime's CUDA provider cannot be loaded, and what to do; None if it can be."""
    folder = Path(ort.__file__).parent / "capi"
    try:
        for name in LIBRARIES:
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        if DRIVER in str(error):
            return f"{error}: it belongs to NVIDIA's driver, which must be installed"
        return f"{error}: {install_hint('gpu')} brings CUDA's libraries"
    return None
