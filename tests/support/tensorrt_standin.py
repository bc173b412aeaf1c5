"""A TensorRT that compiles without a GPU, put together from PyPI packages: a check of graphs, never part of wordmask.

TensorRT's Python API is on PyPI, its libraries are not. TensorRT-RTX has the same entry points, and its libraries are
there, within ONNX Runtime's plugin: under TensorRT's names they serve that API. What runs on a GPU it cannot do, and
some calls end the process, so it is only ever used in a process of its own:

    python trt_standin.py BUNDLE PRECISION MAX_BATCH MAX_PROMPTS GRAPH...     (in the environment of Standin)
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("tensorrt-cu13-bindings==11.4.0.106", "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0")
LIBRARIES = {
    "libnvinfer.so.11": "libtensorrt_rtx.so.1.7.1",
    "libnvonnxparser.so.11": "libtensorrt_onnxparser_rtx.so.1.7.1",
}
OWN_NAMES = ("libtensorrt_rtx.so", "libtensorrt_rtx.so.1")  # what the libraries look for themselves
PLUGINS = "int initLibNvInferPlugins(void *logger, const char *name) { return 1; }"
HEAVY = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
COMPILE_SECONDS = 600


class UnreachableError(Exception):
    """The packages cannot be fetched; the message is pip's."""


@dataclass(frozen=True)
class Standin:
    """An assembled stand-in: `site` holds the Python packages, `lib` the libraries."""

    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Python with the stand-in as `tensorrt`."""
        python = os.pathsep.join(filter(None, (str(self.folder / "site"), os.environ.get("PYTHONPATH"))))
        paths = {"PYTHONPATH": python, "LD_LIBRARY_PATH": str(self.folder / "lib")}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env={**os.environ, **paths}, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
        )

    def compile(
        self, bundle: Path, precision: str, graphs: list[str], *, max_batch: int, max_prompts: int
    ) -> dict[str, dict]:
        """Compiles graphs of a bundle as wordmask does; facts by graph, see `_compile`."""
        sizes = (str(max_batch), str(max_prompts))
        done = self.run(__file__, str(bundle), precision, *sizes, *graphs)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        found = {line.pop("graph"): line for line in lines}
        if done.returncode != 0:
            at = graphs[len(found)] if len(found) < len(graphs) else "the end"
            raise AssertionError(f"{at}: the compiler ended with status {done.returncode}\n{done.stderr[-3000:]}")
        return found


def assemble(home: Path) -> Standin:
    """Puts the stand-in together in `home`, once: 148 MB are fetched, 305 MB kept.

    Raises:
        UnreachableError: pip finds no index.
    """
    folder = home / f"python{sys.version_info[0]}.{sys.version_info[1]}-{'-'.join(p.split('==')[1] for p in PACKAGES)}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one fetches, the others wait
        if not folder.is_dir():
            _make(home, folder)
    return Standin(folder)


def _make(home: Path, folder: Path) -> None:
    work = Path(tempfile.mkdtemp(dir=home))
    try:
        _fetch(work / "site")
        (work / "site" / "tensorrt_bindings").rename(work / "site" / "tensorrt")
        _link(work / "lib", work / "site" / "onnxruntime_ep_nv_tensorrt_rtx")
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    options = ["--no-deps", "--no-compile", "--no-cache-dir", "--retries", "1", "--only-binary=:all:"]
    done = subprocess.run(
        [*pip, *options, "--target", str(site), *PACKAGES], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UnreachableError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip gave no reason")


def _link(lib: Path, source: Path) -> None:
    """The libraries under TensorRT's names; relative, as the folder is renamed."""
    lib.mkdir()
    for name, library in LIBRARIES.items():
        (lib / name).symlink_to(Path("..") / "site" / source.name / library)
    for name in OWN_NAMES:
        (lib / name).symlink_to("libnvinfer.so.11")
    command = ["gcc", "-x", "c", "-shared", "-fPIC", "-o", str(lib / "libnvinfer_plugin.so.11"), "-"]
    subprocess.run(command, input=PLUGINS, text=True, check=True)


def _compile(bundle: Path, precision: str, name: str, max_batch: int, max_prompts: int) -> dict[str, object]:
    """Compiles one graph: size of the plan, layers by type, products by type, profiles and seconds."""
    from wordmask.bundle.manifest_reading import read_manifest
    from wordmask_export.tensorrt.build import typed_graph
    from wordmask_export.tensorrt.compiler import compile_network
    from wordmask_export.tensorrt.profiles import profiles

    start = time.perf_counter()
    manifest = read_manifest(bundle)
    entry, sizes = manifest.graphs[name], profiles(manifest, max_batch=max_batch, max_prompts=max_prompts)[name]
    model = typed_graph(bundle, name, entry, precision)
    compiled = compile_network(model, entry, sizes, timing_cache=b"", log=lambda line: None, precision=precision)
    return {
        "plan": len(compiled.plan),
        "timing_cache": len(compiled.timing_cache),
        "layers": compiled.layers,
        "products": _products(model),
        "profiles": len(sizes),
        "seconds": round(time.perf_counter() - start, 2),
    }


def _products(model: bytes) -> dict[str, int]:
    """Convolutions and matrix products by their type, as TensorRT's parser reads the graph."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    assert trt.OnnxParser(network, logger).parse(model)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return dict(Counter(layer.get_output(0).dtype.name for layer in layers if layer.type.name in HEAVY))


def main() -> None:
    """Compiles the graphs of the command line; a line of JSON each."""
    bundle, precision, max_batch, max_prompts, *graphs = sys.argv[1:]
    for name in graphs:
        facts = _compile(Path(bundle), precision, name, int(max_batch), int(max_prompts))
        print(json.dumps({"graph": name, **facts}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
