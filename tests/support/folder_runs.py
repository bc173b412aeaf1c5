"""What tests of folder runs share: starting one, and what it left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stub_segmenter import StubSegmenter
from wordmask.run.find_photos import find_photos
from wordmask.run.local import run_folder
from wordmask.run.request import RunControl, RunRequest
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options

TIMES = {"seconds", "images_per_second", "stage_seconds"}


def run(photos: Path, out: Path, *, segmenter=None, words=("red", "green"), options=None, **settings):
    """A run in this process."""
    segmenter = segmenter or StubSegmenter()
    queries = segmenter.embed(Vocabulary.parse(words))
    named = {"vocabulary": list(words), **settings.pop("settings", {})}
    jobs = settings.pop("jobs", None) or find_photos([photos])
    control = RunControl(**{name: settings.pop(name) for name in ("stop", "log", "progress") if name in settings})
    request = RunRequest(jobs, queries, out, options or Options(), settings=named, **settings)
    return run_folder(segmenter, request, control)


def command(photos: Path, out: Path, *arguments: str) -> list[str]:
    """The command line of a run with every output."""
    places = [str(photos), "--vocabulary", "red", "green", "--output", str(out)]
    return [sys.executable, "-m", "wordmask", "run", *places, "--overlay", "--save-dense", *arguments]


def start(photos: Path, out: Path, environment, *arguments: str, **settings) -> subprocess.Popen:
    """A run in processes of its own, which a signal to the group reaches together."""
    return subprocess.Popen(
        command(photos, out, *arguments), env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings,
    )  # fmt: skip


def rows(out: Path) -> list[dict]:
    """The journal."""
    return [json.loads(line) for line in (out / "journal.jsonl").read_text(encoding="utf-8").splitlines() if line]


def statuses(out: Path) -> dict[str, str]:
    """Each photo's status by its name."""
    return {row["name"]: row["status"] for row in rows(out)}


def results(out: Path) -> dict[str, object]:
    """All that stands in an output folder, without what tells of time."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_file() and name != ".lock":
            found[name] = path.read_bytes()
    found["journal.jsonl"] = [timeless(row) for row in rows(out)]
    found["run.json"] = timeless(json.loads((out / "run.json").read_text(encoding="utf-8")))
    return found


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in TIMES}
    return value
