"""The programs in docs/serving.md do what they say, with Triton's own client and a fake server behind it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fake_triton import FakeTriton, Request
from wordmask.bundle.opening import open_bundle
from wordmask.triton.repository import Layout, write_repository

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"
CLIENT, PROBE, LOAD = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "models"
    write_repository(open_bundle("tiny"), out, Layout(on_cpu=True, max_batch=1))
    return out


def test_the_clients_example_gets_annotations(repository, examples, tmp_path, monkeypatch):
    triton = pytest.importorskip("tritonclient.grpc", reason="of the extra `test`")
    from tritonclient.utils import deserialize_bytes_tensor

    server = FakeTriton(repository)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", server)
    model = server.load()

    class Client:
        def __init__(self, address):
            assert address == "localhost:8001"

        def infer(self, name, inputs, *, outputs, request_id):
            assert name == "wordmask"
            assert all(put.shape() == [1, 1] and put.datatype() == "BYTES" for put in inputs)
            sent = {put.name(): deserialize_bytes_tensor(put._get_content()).item() for put in inputs}
            (response,) = server.execute(model, Request(sent, outputs=[o.name() for o in outputs], name=request_id))
            content = response.content()
            return SimpleNamespace(as_numpy=lambda output: np.array([[content[output]]], np.object_))

    monkeypatch.setattr(triton, "InferenceServerClient", Client)
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(examples.parent / "scenes" / "04.png", "photo.jpg")
    scope = {}
    exec(CLIENT, scope)
    model.finalize()
    document = scope["document"]
    assert [category["name"] for category in document["categories"]] == ["person", "cup"]
    assert document["images"] == [{"id": 1, "file_name": "photo.jpg", "height": 320, "width": 448}]


@pytest.mark.parametrize("dead", [False, True], ids=["sound", "a process is dead"])
def test_the_probe_asks_each_process_and_fails_where_one_is_dead(repository, monkeypatch, dead):
    triton = pytest.importorskip("tritonclient.grpc", reason="of the extra `test`")
    from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor

    server = FakeTriton(repository)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", server)
    model = server.load()
    requests = []

    def infer(name, inputs, *, client_timeout):
        requests.append({put.name(): deserialize_bytes_tensor(put._get_content()).item() for put in inputs})
        if dead and len(requests) == 2:
            raise InferenceServerException("Stub process 'wordmask_0_1' is not healthy.")
        (response,) = server.execute(model, Request(requests[-1]))
        assert not response.has_error()

    monkeypatch.setattr(triton, "InferenceServerClient", lambda address: SimpleNamespace(infer=infer))
    monkeypatch.setattr(sys, "argv", ["probe.py", "2"])
    if dead:
        with pytest.raises(SystemExit, match="restart the server: Stub process 'wordmask_0_1' is not healthy"):
            exec(PROBE, {})
    else:
        exec(PROBE, {})
    model.finalize()
    assert len(requests) == 2


def test_the_load_tests_file_has_what_the_model_takes(examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(examples, "photos")
    exec(LOAD, {})
    requests = json.loads(Path("load.json").read_text())["data"]
    photos = [photo.read_bytes() for photo in sorted(Path("photos").glob("*.jpg"))]
    elements = [base64.b64decode(request["photo"]["b64"]) for request in requests]
    assert [element[4:] for element in elements] == photos
    assert [int.from_bytes(element[:4], "little") for element in elements] == [len(photo) for photo in photos]
    assert {name for request in requests for name in request} == {"photo", "words", "options"}


def test_the_model_starts_without_onnx_runtime(repository):
    code = (
        "import sys, types\n"
        "sys.modules['onnxruntime'] = None\n"
        "utils = sys.modules['triton_python_backend_utils'] = types.ModuleType('triton_python_backend_utils')\n"
        "utils.MetricFamily = type('MetricFamily', (), {'COUNTER': 0, '__init__': lambda self, **settings: None})\n"
        "from wordmask.triton.python_model import TritonPythonModel\n"
        "model = TritonPythonModel()\n"
        f"folder = {str(repository / 'wordmask')!r}\n"
        "model.initialize({'model_repository': folder, 'model_version': '1', 'model_name': 'wordmask'})\n"
        "model.finalize()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
