"""A Label Studio server on loopback: a project from label_config.xml, tasks.json imported, predictions read back."""

from __future__ import annotations

import json
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
from urllib.parse import unquote

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]
TOKEN = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Server:
    address: str

    def ask(self, path: str, content: object = None) -> bytes:
        request = urllib.request.Request(
            self.address + path,
            None if content is None else json.dumps(content).encode(),
            {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Its document root is the test's folder."""
    program = shutil.which("label-studio") or str(Path(sys.executable).with_name("label-studio"))
    if not Path(program).exists():
        pytest.skip("label-studio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "HOME": str(tmp_path),
        "COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path / "labelstudio"),
    }
    options = f"--no-browser --enable-legacy-api-token --internal-host 127.0.0.1 -p {port} --user-token {TOKEN}"
    user = ["--username", "a@b.example", "--password", "password", "--data-dir", str(tmp_path / "data")]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [program, "start", *options.split(), *user],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            started = Server(f"http://127.0.0.1:{port}")
            for _ in range(180):
                try:
                    started.ask("/api/version")
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, (tmp_path / "log.txt").read_text()[-2000:]
                    time.sleep(1)
            yield started
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def test_tasks_are_imported_with_predictions_and_photos_are_served(converted, mixed, server):
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    folder = converted("labelstudio", placing="copy")
    config = (folder / "label_config.xml").read_text(encoding="utf-8")
    project = json.loads(server.ask("/api/projects", {"title": "wordmask", "label_config": config}))["id"]
    storage = {"project": project, "path": str(folder / "photos"), "use_blob_urls": True, "title": "photos"}
    server.ask("/api/storages/localfiles", storage)
    imported = json.loads(
        server.ask(f"/api/projects/{project}/import", json.loads((folder / "tasks.json").read_bytes()))
    )
    assert (imported["task_count"], imported["prediction_count"]) == (len(mixed.photos), len(mixed.photos))
    found = {}
    exported = json.loads(server.ask(f"/api/tasks?project={project}&fields=all&page_size=100"))["tasks"]
    for task in exported:
        place = unquote(task["data"]["image"].removeprefix("/data/local-files/?d="))
        name = str(Path(place).relative_to("photos").with_suffix(""))
        assert server.ask(task["data"]["image"]) == (folder / place).read_bytes()
        found[name] = []
        for prediction in json.loads(server.ask(f"/api/predictions?task={task['id']}")):
            assert prediction["model_version"] == "wordmask"
            for region in prediction["result"]:
                channels = brush.decode_rle(region["value"]["rle"]).reshape(*mixed.photos[name].size, 4)
                found[name].append((*region["value"]["brushlabels"], channels[..., 3] > 0))
    mixed.check(found)
