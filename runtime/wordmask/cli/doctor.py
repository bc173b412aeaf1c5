"""`wordmask doctor`: reports what is installed, whether it works, and how to mend what does not.

Nothing is changed and nothing is downloaded. A check that raises an error is reported as a finding.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wordmask.bundle.domains import TRAINED_ON
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.opening import open_any_bundle
from wordmask.bundle.search import search_path
from wordmask.cli.inspect import FITS, Machine, engines, find_machine
from wordmask.errors import BundleError, DeviceError, MissingExtraError, WordmaskError, install_hint
from wordmask.formats.terminal import printable
from wordmask.system.limits import memory, processors
from wordmask.system.user_cache import is_writable, user_cache

State = Literal["ok", "note", "warning", "problem"]

REQUIRED = {"numpy": "numpy", "opencv-python-headless": "cv2", "pillow": "PIL", "ftfy": "ftfy", "regex": "regex"}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
OPTIONAL = ("openvino", "tensorrt", "cuda-python", "onnxruntime-ep-nv-tensorrt-rtx-cu13")
PCI_DEVICES, PROCESSORS = Path("/sys/bus/pci/devices"), Path("/proc/cpuinfo")
NVIDIA, DISPLAY = "0x10de", "0x03"  # vendor, and how classes of display controllers begin
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,compute_cap,memory.total,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Finding:
    """A check's result: `ok`; `note`, which needs no action; `warning`, which may; `problem`, which breaks a run."""

    topic: str
    state: State
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask doctor`."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask doctor`; gives the exit status: 1 where there is a problem."""
    findings = list(examine())
    broken = any(finding.state == "problem" for finding in findings)
    if args.json:
        text = json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=1)
    else:
        text = table(findings, broken)
    print(text, file=sys.stdout)
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Runs all checks; one that raises an error is a problem, and the others run."""
    checks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("python", python),
        ("packages", packages),
        ("onnxruntime", onnxruntime),
        ("optional", optional_packages),
        ("gpu", gpu),
        ("cache", caches),
        ("bundle", bundles),
        ("device", device),
    )
    for topic, check in checks:
        try:
            yield from check()
        except Exception as error:  # the other checks run whatever is broken
            yield Finding(topic, "problem", f"could not be checked ({type(error).__name__}: {error})")


def table(findings: list[Finding], broken: bool) -> str:
    """Everything, for people: a line a finding."""
    width = max(len(finding.topic) for finding in findings)
    lines = [f"{finding.state:<8} {finding.topic:<{width}}  {printable(finding.text)}" for finding in findings]
    return "\n".join([*lines, "", "something is broken: see the problems above" if broken else "all is well"])


def python() -> Iterator[Finding]:
    """The interpreter, the machine and wordmask itself."""
    here = Path(__file__).parents[1]
    yield Finding("wordmask", "ok", f"{version('wordmask') or 'not installed, run from its source'} in {here}")
    allowed = f"{processors()} of {os.cpu_count()} cores and {memory() / 2**30:.1f} GiB for this process"
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.platform()}, {allowed}")


def packages() -> Iterator[Finding]:
    """What every run needs."""
    for distribution, module in REQUIRED.items():
        found = version(distribution)
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # a damaged installation raises anything
            yield Finding(distribution, "problem", f"cannot be imported ({error}): pip install '{distribution}'")
            continue
        yield Finding(distribution, "ok", found or f"{getattr(imported, '__version__', '?')}, by another package")


def onnxruntime() -> Iterator[Finding]:
    """ONNX Runtime: one of its two distributions, and what it can run on."""
    from wordmask.backends.onnxruntime.graph import check_distributions, import_onnxruntime

    there = [f"{name} {found}" for name in RUNTIMES if (found := version(name))]
    try:
        providers = import_onnxruntime().get_available_providers()
        check_distributions()
    except (MissingExtraError, DeviceError) as error:
        yield Finding("onnxruntime", "problem", str(error))
        return
    yield Finding("onnxruntime", "ok", f"{', '.join(there) or 'of unknown origin'}: {', '.join(providers)}")
    if version("onnxruntime-gpu") and "CUDAExecutionProvider" not in providers:
        advice = f"uninstall onnxruntime and onnxruntime-gpu, then {install_hint('gpu')}"
        yield Finding("onnxruntime", "problem", f"onnxruntime-gpu is installed, but it has no CUDA: {advice}")


def optional_packages() -> Iterator[Finding]:
    """What only some devices need."""
    for distribution in OPTIONAL:
        found = version(distribution)
        yield Finding(distribution, "ok" if found else "note", found or "not installed")


def listed_gpus() -> tuple[list[str], str]:
    """A line for each GPU that nvidia-smi lists, and where there is none the reason."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return [], "it is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode == 0 and lines:
        return lines, ""
    return [], "".join((done.stderr.strip() or done.stdout.strip()).splitlines()[:1]) or "it says nothing"


def gpu() -> Iterator[Finding]:
    """NVIDIA GPUs as the driver lists them, and whether TensorRT's engines can be used."""
    listed, reason = listed_gpus()
    if not listed:
        yield Finding("gpu", "note", f"none that nvidia-smi shows ({reason})")
    yield from (Finding("gpu", "ok", f"{number}: {line}") for number, line in enumerate(listed))
    machine = find_machine()
    if machine.target is None:
        yield Finding("engines", "note", f"--device tensorrt cannot be used: {machine.reason}")
    else:
        yield Finding(
            "engines",
            "ok",
            f"are for TensorRT {machine.target.tensorrt} on {machine.gpu} ({machine.target.architecture})",
        )


def device() -> Iterator[Finding]:
    """The device that is fastest here for the bundle that `run` takes, and what a faster one needs."""
    from wordmask.backends.auto import choose_device
    from wordmask.bundle.opening import open_bundle
    from wordmask.loading import STAGES

    try:
        chosen = choose_device(open_bundle(), STAGES)
    except BundleError as error:
        yield Finding("device", "note", f"depends on a bundle, and there is none that can be used ({error})")
        return
    yield Finding("device", "ok", f"--device {chosen.name} is the fastest that works here; --device auto takes it")
    for name, reason in chosen.faster:
        if has_bf16_units() if name.startswith("openvino") else has_nvidia_gpu():
            yield Finding("device", "note", f"--device {name} would be faster: {reason}")


def has_nvidia_gpu() -> bool:
    """Whether there is an NVIDIA GPU, whether or not it has a driver."""
    devices = PCI_DEVICES.glob("*")
    return bool(listed_gpus()[0]) or any(
        content(device / "vendor") == NVIDIA and content(device / "class").startswith(DISPLAY) for device in devices
    )


def has_bf16_units() -> bool:
    """Whether the processor has units for bfloat16, with which OpenVINO is faster than ONNX Runtime."""
    return bool({"avx512_bf16", "amx_bf16"} & set(content(PROCESSORS).split()))


def content(path: Path) -> str:
    """The text of a file of the system; empty if it has none."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def caches() -> Iterator[Finding]:
    """Folders that are written to."""
    folder = user_cache()
    origin = "$WORDMASK_CACHE" if os.environ.get("WORDMASK_CACHE") else "by default"
    if is_writable(folder):
        yield Finding("cache", "ok", f"{folder} ({origin})")
    else:
        text = f"{folder} ({origin}) cannot be written: words are embedded anew in each run; set $WORDMASK_CACHE"
        yield Finding("cache", "warning", text)


def bundles() -> Iterator[Finding]:
    """Every bundle on the search path: whether its files are whole, and its engines fit to be run."""
    machine, seen = find_machine(), set[Path]()
    for place in search_path():
        for manifest in sorted(place.glob(f"[!.]*/{FILE_NAME}")):
            folder = manifest.parent
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield from bundle(folder, machine)
    for name in os.environ.get("WORDMASK_MODELS", "").split(os.pathsep):
        if name and not Path(name).is_dir():
            yield Finding("bundle", "warning", f"$WORDMASK_MODELS names {name}, which is no folder")
    if not seen:
        places = ", ".join(map(str, search_path()))
        yield Finding("bundle", "problem", f"none in {places}: `wordmask build models_cache/default` makes one")


def bundle(folder: Path, machine: Machine) -> Iterator[Finding]:
    """One bundle and its engines."""
    try:
        manifest = open_any_bundle(folder).manifest
    except WordmaskError as error:
        yield Finding("bundle", "problem", str(error))
        return
    about = f"bundle {manifest.bundle_id}, {manifest.precision}, {TRAINED_ON[manifest.domain]}; its files are whole"
    yield Finding("bundle", "ok", f"{folder}: {about}")
    for engine in engines(folder, manifest, machine):
        refused = engine.state.startswith(("refused", "unusable"))
        state: State = "problem" if refused else "ok" if engine.state == FITS else "note"
        yield Finding("engine", state, f"{engine.key}: {engine.state}")


def version(distribution: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        found: Any = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return str(found) if found else "of unknown version"
