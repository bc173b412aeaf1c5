"""TensorRT-RTX as ONNX Runtime's plugin provider, and the engines that it builds, kept beside the bundle.

The plugin compiles a graph when a session opens. What it compiled, an ONNX file that holds the engine, is code like any
plan: it stands in the bundle's engines folder under the same rules (see wordmask.bundle.engines).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import logging
import time
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any

from wordmask.backends.onnxruntime.cuda import failure
from wordmask.bundle.engines import (
    FOLDER,
    PLAN,
    SCHEMA,
    SIDECAR,
    Precision,
    Request,
    Sidecar,
    Target,
    read_plan,
    read_sidecar,
)
from wordmask.bundle.manifest import File, GraphEntry
from wordmask.errors import BundleError, DeviceError, EngineError
from wordmask.system.files import atomic_folder

PROVIDER = "NvTensorRTRTXExecutionProvider"
MODULE, PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx", "onnxruntime-ep-nv-tensorrt-rtx-cu13"
CAPABILITIES = ("8.6", "8.9", "12")  # of the GPUs that its provider takes, major and minor or the major alone
INSTALL = f"pip install 'onnxruntime>=1.24' {PACKAGE}"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineCache:
    """Where the engine of a graph is kept: its bundle, the graph's name, and the precision of its weights."""

    bundle: Path
    graph: str
    precision: Precision


def supports(capability: str) -> bool:
    """Whether TensorRT-RTX takes GPUs of a compute capability such as `8.9`."""
    return capability in CAPABILITIES or capability.partition(".")[0] in CAPABILITIES


def open_rtx(ort: Any, path: Path, entry: GraphEntry, options: Any, index: int, cache: EngineCache | None) -> Any:
    """A session on TensorRT-RTX: of the engine kept in the cache, or of one built now and kept.

    Args:
        ort: the onnxruntime module.
        path: the ONNX file.
        entry: its manifest entry.
        options: the session's; they are changed.
        index: CUDA's number of the GPU.
        cache: where the engine is kept.

    Raises:
        DeviceError: the plugin or the GPU is not there.
        BundleError: the plugin cannot build the graph.
        EngineError: the kept engine must not be trusted.
    """
    version = register(ort)
    device = _device(ort, index)
    options.add_provider_for_devices([device], {})
    if cache is None:
        return _open(ort, path, path, options)
    chip = f"pci_{device.device.device_id:04x}"
    request = Request(f"rtx-{cache.graph}", entry.sha256, cache.precision, (), Target(f"rtx {version}", chip))
    folder = cache.bundle / FOLDER / request.key
    if folder.is_dir():
        return _open(ort, path, read_plan(folder, read_sidecar(folder)), options)
    return _build(ort, path, options, request, folder)


@once
def register(ort: Any) -> str:
    """Makes the plugin known to ONNX Runtime, once a process; gives its version.

    Raises:
        DeviceError: it is not installed, ONNX Runtime is too old for it, or it finds no driver.
    """
    try:
        plugin = importlib.import_module(MODULE)
    except ImportError as error:
        raise DeviceError(f"device is tensorrt-rtx, but its plugin is not installed ({error}): {INSTALL}") from error
    if not hasattr(ort, "register_execution_provider_library"):
        raise DeviceError(f"device is tensorrt-rtx, but onnxruntime {ort.__version__} takes no plugins: {INSTALL}")
    _load_cuda_runtime(plugin)
    try:
        ort.register_execution_provider_library(PROVIDER, plugin.get_library_path())
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        raise DeviceError(f"device is tensorrt-rtx, but its plugin cannot start ({_first_line(error)})") from error
    return str(plugin.__version__)


def _load_cuda_runtime(plugin: Any) -> None:
    """Loads the libcudart that the plugin ships, which the plugin's own import leaves out."""
    for library in sorted(Path(plugin.__file__).parent.glob("libcudart.so*")):
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            logger.warning("%s: cannot be loaded (%s)", library, error)


def _device(ort: Any, index: int) -> Any:
    found = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
    for device in found:
        if device.ep_options.get("device_id") == str(index):
            return device
    there = ", ".join(f"tensorrt-rtx:{device.ep_options.get('device_id')}" for device in found) or "none"
    raise DeviceError(
        f"device is tensorrt-rtx:{index}, but TensorRT-RTX finds no such GPU that it supports: {there}; "
        "it is for compute capability 8.6, 8.9 and 12.x"
    )


def _build(ort: Any, path: Path, options: Any, request: Request, folder: Path) -> Any:
    """Opens a session that writes its engine into `folder`. Whether that can be written does not matter to it."""
    session: Any = None
    try:
        folder.parent.mkdir(mode=0o755, exist_ok=True)
        with atomic_folder(folder, mode=0o755) as work:  # nobody else may write code
            written = work / "context.onnx"
            options.add_session_config_entry("ep.context_enable", "1")
            options.add_session_config_entry("ep.context_embed_mode", "1")
            options.add_session_config_entry("ep.context_file_path", str(written))
            start = time.perf_counter()
            session = _open(ort, path, path, options)
            content = written.read_bytes()  # FileNotFoundError: the plugin took no node, which is checked next
            plan = File(PLAN, hashlib.sha256(content).hexdigest(), len(content))
            seconds = round(time.perf_counter() - start, 1)
            sidecar = Sidecar(SCHEMA, request, plan, request.target.architecture, {}, seconds)
            written.chmod(0o644)
            written.rename(work / PLAN)
            (work / SIDECAR).write_text(sidecar.to_json(), encoding="utf-8")
    except OSError as error:  # once there is a session: another process was faster
        if session is None:
            logger.warning("%s: the engine cannot be kept there (%s): it is built in every process", folder, error)
            return _open(ort, path, path, options)
    return session


def _open(ort: Any, path: Path, model: Path | bytes, options: Any) -> Any:
    try:
        source = model if isinstance(model, bytes) else str(model)
        return ort.InferenceSession(source, options, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        if isinstance(model, bytes):
            kept = path.parent / FOLDER
            raise EngineError(
                f"{path}: TensorRT-RTX refuses the engine it built; remove its folder in {kept} ({_first_line(error)})"
            ) from error
        if (reason := failure(error)) is not None:
            raise DeviceError(f"{path.name}: {reason}") from error
        raise BundleError(f"{path}: TensorRT-RTX cannot build it ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
