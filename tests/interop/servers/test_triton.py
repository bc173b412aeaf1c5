"""A real Triton server, asked by gRPC: what it answers, counts, and does when a Python process dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from wordmask.cli.main import main

client = pytest.importorskip("tritonclient.grpc", reason="of the extra `test`")

pytestmark = pytest.mark.interop

SCENES = Path(__file__).parents[3] / "examples" / "scenes"
SCENE, WORDS = SCENES / "04.png", SCENES / "words.txt"
PROBE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")


def ask(server, photo: bytes, words: bytes, *, options: bytes = b'{"background": []}'):
    """The outputs by name."""

    def put(name, content):
        return client.InferInput(name, [1, 1], "BYTES").set_data_from_numpy(np.array([[content]], np.object_))

    names = ("annotations", "semantic")
    with client.InferenceServerClient(server.grpc) as connection:
        result = connection.infer(
            "wordmask",
            [put("photo", photo), put("words", words), put("options", options)],
            outputs=[client.InferRequestedOutput(name) for name in names],
            request_id=str(SCENE),
        )
    return {name: result.as_numpy(name).item() for name in names}


def refusal(server, *asked, **settings) -> tuple[str, str]:
    """Status and message."""
    with pytest.raises(client.InferenceServerException) as error:
        ask(server, *asked, **settings)
    return error.value.status(), error.value.message()


def metrics(server) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def probe(server, tmp_path) -> subprocess.CompletedProcess[str]:
    """The health check of docs/serving.md, as it stands there but for the address."""
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", PROBE, re.DOTALL) if "sys.exit" in block]
    assert "localhost:8001" in program
    (tmp_path / "probe.py").write_text(program.replace("localhost:8001", server.grpc))
    asked = [sys.executable, str(tmp_path / "probe.py"), "2"]
    return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)


def test_the_answers_are_those_of_run_and_refusals_are_counted_by_code(triton, tmp_path):
    choices = ["--vocabulary", f"@{WORDS}", "--background", "none", "--threads", "1", "--bundle", "tiny"]
    assert main(["run", str(SCENE), *choices, "--output", str(tmp_path / "out")]) == 0
    photo, words = SCENE.read_bytes(), WORDS.read_bytes()
    assert ask(triton, photo, words) == {
        "annotations": (tmp_path / "out" / "annotations.json").read_bytes(),
        "semantic": (tmp_path / "out" / "semantic" / "04.png").read_bytes(),
    }
    invalid = "StatusCode.INVALID_ARGUMENT"
    status, message = refusal(triton, photo[:1000], words)
    assert (status, message.partition(":")[0]) == (invalid, "DECODE")
    status, message = refusal(triton, photo, words, options=b'{"confidence": 1}')
    assert (status, message.partition(":")[0]) == (invalid, "REQUEST")
    assert "options.confidence is not a field" in message
    successes = 'nv_inference_request_success{model="wordmask",version="1"}'
    until = time.monotonic() + 10
    while (counted := metrics(triton))[successes] < 3 and time.monotonic() < until:  # it counts behind its answers
        time.sleep(0.1)
    assert counted[successes] == 3  # refusals too, which is why wordmask counts
    answers = {name: value for name, value in counted.items() if name.startswith("wordmask_answers_total")}
    counter = 'wordmask_answers_total{{code="{}",model="wordmask"}}'
    assert answers == {counter.format(code): 1 for code in ("ok", "DECODE", "REQUEST")}


def test_a_process_that_dies_is_found_by_the_probe_and_not_by_the_servers_own_health(triton, tmp_path):
    sound = probe(triton, tmp_path)
    assert (sound.returncode, sound.stderr) == (0, "")
    found = subprocess.run(["pgrep", "-f", r"models/wordmask/1/model\.py"], capture_output=True, text=True, check=True)
    ours = [int(line) for line in found.stdout.split() if belongs(int(line), triton.log)]
    assert len(ours) == 2
    os.kill(ours[0], signal.SIGKILL)
    with urllib.request.urlopen(f"http://{triton.http}/v2/health/ready") as answer:
        assert answer.status == 200
    dead = probe(triton, tmp_path)
    assert dead.returncode == 1
    assert "Stub process 'wordmask_0_" in dead.stderr
    assert "is not healthy" in dead.stderr


def belongs(process: int, log: Path) -> bool:
    """Whether a process writes this log."""
    return os.path.realpath(f"/proc/{process}/fd/1") == str(log.resolve())
