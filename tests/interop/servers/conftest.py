"""A real Triton server on loopback, from the package nvidia-pytriton, in an environment of its own.

Its Python backend of 2.51 needs NumPy 1, and it has no ONNX Runtime backend: each graph is a Python model that runs the
same ONNX file, with the configuration that `wordmask triton` wrote but for the backend's name.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wordmask.bundle.opening import open_bundle
from wordmask.triton.repository import Layout, write_repository

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "nvidia-pytriton==0.7.0",
    "onnxruntime",
    "opencv-python-headless>=4.9",
    "pillow>=10.1",
    "ftfy",
    "regex",
    "tqdm",
)
STARTING = 120  # seconds, on two busy cores
STAND_IN = """
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = [put.name for put in self.session.get_inputs()]
        fed = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        wanted = list(request.requested_output_names())
        found = zip(wanted, self.session.run(wanted, fed))
        return triton.InferenceResponse([triton.Tensor(name, array) for name, array in found])
"""


@dataclass(frozen=True)
class TritonServer:
    """A server that runs: the address of each protocol, and the file that its log goes to."""

    grpc: str
    http: str
    metrics: str
    log: Path


@pytest.fixture(scope="session")
def triton_environment(request: pytest.FixtureRequest) -> Path:
    """The packages' folder of an environment with the server; kept in pytest's cache, 620 MB."""
    home = Path(request.config.cache.mkdir("interop")) / f"triton-{sys.version_info.major}.{sys.version_info.minor}"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install = [home / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {PACKAGES[0]} here: {done.stderr.strip().splitlines()[-1]}")
        (home / "complete").touch()
    return next((home / "lib").glob("python*/site-packages"))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    write_repository(open_bundle("tiny"), out, Layout(on_cpu=True, max_batch=1, workers=2))
    for config in out.glob("wordmask_*/config.pbtxt"):
        text = config.read_text()
        assert text.count('"onnxruntime"') == text.count('"model.onnx"') == 1
        config.write_text(text.replace('"onnxruntime"', '"python"').replace('"model.onnx"', '"model.py"'))
        (config.parent / "1" / "model.py").write_text(STAND_IN)
    return out


@pytest.fixture
def triton(triton_environment: Path, repository: Path, tmp_path: Path) -> Iterator[TritonServer]:
    """Ends with the test, which may kill its processes."""
    ports = free_ports(3)
    server = TritonServer(*(f"127.0.0.1:{port}" for port in ports), tmp_path / "server.log")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command(triton_environment, repository, tmp_path / "backends", ports),
            env=environment(triton_environment, tmp_path),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(server, process)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its models' processes: one that was killed delays its end by 30 s
        process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def command(packages: Path, repository: Path, backends: Path, ports: list[int]) -> list[str | Path]:
    """The server's command line, with its Python backend put together as the image has it."""
    home, version = packages / "pytriton" / "tritonserver", f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(home / "backends" / "python", backends / "python")
    stub = backends / "python" / "triton_python_backend_stub"
    shutil.copyfile(home / "python_backend_stubs" / version / stub.name, stub)
    for program in (stub, home / "bin" / "tritonserver"):
        program.chmod(0o755)
    listening = [
        part
        for protocol, port in zip(("grpc", "http", "metrics"), ports, strict=True)
        for part in (f"--{protocol}-address=127.0.0.1", f"--{protocol}-port={port}")
    ]
    settings = ["--model-control-mode=none", "--disable-auto-complete-config", f"--backend-directory={backends}"]
    return [home / "bin" / "tritonserver", f"--model-repository={repository}", *settings, *listening]


def environment(packages: Path, folder: Path) -> dict[str, str]:
    """The models' processes find the packages by the `python3` on the path, and this checkout by a .pth file."""
    (packages / "wordmask.pth").write_text(f"{ROOT / 'runtime'}\n")
    bin_folder = packages.parents[2] / "bin"
    return {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "WORDMASK_CACHE": str(folder / "cache"),
    }


def wait_until_ready(server: TritonServer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{server.http}/v2/health/ready"):
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{server.log.read_text(errors='replace')[-6000:]}")
