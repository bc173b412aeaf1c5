"""A long run takes no more memory than a short one.

python -m pytest -n 0 -s -m soak tests/runtime/run/test_soak.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from wordmask.run.supervisor import MALLOC

SIZES = ((224, 224), (224, 300), (288, 216), (320, 320))

SCRIPT = """
import json, os, statistics, sys
from pathlib import Path
from wordmask import Segmenter
from wordmask.run.local import run_folder
from wordmask.run.request import OutputOptions, RunControl, RunRequest
from wordmask.run.find_photos import find_photos
from wordmask.text.vocabulary import Vocabulary
from wordmask.text.word_lists import read_class_lines

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def note(done):
    sizes.append(resident())
    if done % 100 == 0:
        medians[done] = statistics.median(sizes[-50:])  # two photos are under way, at any stage
        print(done, round(medians[done] / 2**20), "MiB", file=sys.stderr, flush=True)

photos, words, out = map(Path, sys.argv[1:])
sizes, medians = [], {}
segmenter = Segmenter("tiny", threads=1)
queries = segmenter.embed(Vocabulary.parse(read_class_lines(words)))
outputs = OutputOptions(overlay=True, save_dense=True)
run_folder(segmenter, RunRequest(find_photos([photos]), queries, out, outputs=outputs), RunControl(progress=note))
print(json.dumps(medians))
"""


@pytest.mark.soak
def test_memory_stays_flat_over_a_thousand_photos(examples, tmp_path):
    """Of the whole chain, with the shipped bundle and scenes of four sizes: half an hour on one core."""
    from wordmask_bench.scenes.scene import generate

    photos = tmp_path / "in"
    photos.mkdir()
    for seed in range(1000):
        Image.fromarray(generate(seed, size=SIZES[seed % len(SIZES)]).image).save(photos / f"{seed:04d}.png")
    words = examples.parent / "scenes" / "words.txt"
    command = [sys.executable, "-c", SCRIPT, str(photos), str(words), str(tmp_path / "out")]
    environment = {**MALLOC, **os.environ}  # a worker's
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    sizes = json.loads(done.stdout)
    assert sizes["1000"] <= 1.05 * sizes["200"]
    statuses = [json.loads(row)["status"] for row in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert statuses == ["ok"] * 1000
