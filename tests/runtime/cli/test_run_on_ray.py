"""`wordmask run --ray` as a command, from and to an object store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray.data", reason="the extra ray is not installed")
pytest.importorskip("s3fs", reason="the extra ray is not installed")
pytest.importorskip("moto.server", reason="no S3 to test with")

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]
SCENES = ROOT / "examples" / "scenes"
# as keys; some would be patterns, queries or fragments elsewhere
NAMES = {"01.png": "01.png", "02.png": "0 2+#?&%41.png", "03.png": "03[1].png", "04.png": "汉 04*.png"}


def command(bundle: Path, photos: str, out: str, *arguments: str) -> list[str]:
    options = ["--vocabulary", f"@{SCENES / 'words.txt'}", "--background", "none", "--threads", "1", *arguments]
    return [sys.executable, "-m", "wordmask", "run", photos, *options, "--bundle", str(bundle), "--output", out]


def interrupted(arguments: list[str]) -> tuple[int, str, float]:
    """Exit status and messages of a run that is sent SIGINT after its first photo, and the seconds it took to end."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line == "1 of 4 photos\n":
                break
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        said.append(process.stderr.read())
        return process.wait(60), "".join(said), time.monotonic() - sent


def names_in(journal: bytes) -> list[str]:
    return [json.loads(line)["name"] for line in journal.splitlines()]


def without_file_name(content: bytes) -> dict[str, object]:
    return {key: value for key, value in json.loads(content).items() if key != "file_name"}


def test_a_run_from_and_to_s3_can_be_interrupted_and_continued_from_another_machine(s3, fast_tiny, tmp_path):
    photos = tmp_path / "in"
    photos.mkdir()
    for scene, name in NAMES.items():
        shutil.copy(SCENES / scene, photos / name)
        s3.put_file(str(SCENES / scene), f"bucket/photos/{name}")
    arguments = command(fast_tiny, "s3://bucket/photos", "s3://bucket/out", "--ray", "--in-flight", "1")
    status, said, seconds = interrupted(arguments)
    assert status == 130, said
    assert "interrupted by SIGINT" in said
    assert "Traceback" not in said
    assert seconds < 12  # 5 s on a free machine
    assert json.loads(s3.cat_file("bucket/out/run.json"))["finished"] is False
    assert b'"ok"' in s3.cat_file("bucket/out/journal.jsonl")

    shutil.rmtree(Path(os.environ["WORDMASK_CACHE"]) / "runs")
    again = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "of 4 photos are done" in again.stderr
    assert "4 of 4 photos" in again.stdout

    plain = tmp_path / "plain"
    subprocess.run(command(fast_tiny, str(photos), str(plain)), capture_output=True, check=True, timeout=120)
    for file in sorted(plain.glob("*/*")):
        ours = s3.cat_file(f"bucket/out/{file.relative_to(plain)}")
        if file.suffix == ".json":
            assert without_file_name(ours) == without_file_name(file.read_bytes())
        else:
            assert ours == file.read_bytes()
    ours, theirs = (
        json.loads(s3.cat_file("bucket/out/annotations.json")),
        json.loads((plain / "annotations.json").read_text()),
    )
    assert ours["annotations"] == theirs["annotations"]
    ordered = sorted(NAMES.values())
    assert [image["file_name"] for image in ours["images"]] == [f"s3://bucket/photos/{name}" for name in ordered]
    assert names_in(s3.cat_file("bucket/out/journal.jsonl")) == names_in((plain / "journal.jsonl").read_bytes())
    assert json.loads(s3.cat_file("bucket/out/run.json"))["finished"] is True

    s3.put_file(str(SCENES / "05.png"), f"bucket/photos/{NAMES['03.png']}")
    changed = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert changed.returncode == 2
    assert "'s3://bucket/photos/03[1].png' has changed since" in changed.stderr
