"""A long run takes no more memory than a short one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .stub_segmenter import write_photos

SCRIPT = """
import json, os, sys
from pathlib import Path
from wordmask import Options, Segmenter
from wordmask.folder import run_folder
from wordmask.photo_work import Writing
from wordmask.photos import find_photos
from wordmask.types import Vocabulary

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

bundle, photos, out = map(Path, sys.argv[1:])
sizes = {}
segmenter = Segmenter(bundle, threads=1)
queries = segmenter.embed(Vocabulary.parse(["cat", "cup", "dog"]))
run_folder(
    segmenter, find_photos([photos]), queries, Options(min_confidence=0.1, min_region_size=20), out,
    writing=Writing(overlay=True, save_dense=True), progress=lambda done: sizes.update({done: resident()}),
)
print(json.dumps({done: sizes[done] for done in (200, 1000)}))
"""


@pytest.mark.soak
def test_memory_stays_flat_over_a_thousand_photos(small_bundle, tmp_path, record_property):
    photos = write_photos(tmp_path / "in", 1000, side=96)
    command = [sys.executable, "-c", SCRIPT, str(small_bundle), str(photos), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes = json.loads(done.stdout)
    record_property("resident bytes after 200 and 1000 photos", str(sizes))
    assert sizes["1000"] <= 1.05 * sizes["200"]
