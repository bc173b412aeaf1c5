"""A folder of photos on one device: photos a second, and the share of the time in which the GPU computes."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from wordmask_bench.gpu_check.full_bundles import full_bundles, setup_of
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import Figures, attempt, build
from wordmask_bench.speed.folder_run import copies, run_photos
from wordmask_bench.speed.wordmask_side import WordmaskSide

IN_FLIGHT = (4, 2, 8, 1)  # photos under way at once, most telling first
SAMPLE = 0.1  # seconds between two looks at the GPU


def folder_device(settings: Settings, variant: Variant) -> Figures:
    """Runs over copies of the photo, with 1 to 8 of them under way at once, for each precision of the bundle."""
    for precision, folder in full_bundles(settings, variant).items():
        yield f"{precision}.engines", build(settings, folder, variant)
        side = WordmaskSide(setup_of(settings, variant, folder))
        with tempfile.TemporaryDirectory(prefix="wordmask-folder-") as work:
            side.words(Path(work) / "words.npy")
            photos = copies(settings.timed_photo(), settings.photos, Path(work) / "photos")
            run(side, photos[:2], Path(work) / "first", 2)  # chooses convolutions, allocates
            yield f"{precision}.photos", len(photos)
            for in_flight in IN_FLIGHT:
                out = Path(work) / f"out{in_flight}"
                found = attempt(functools.partial(run, side, photos, out, in_flight))
                yield f"{precision}.in_flight.{in_flight}", found


def run(side: WordmaskSide, photos: Sequence[Path], out: Path, in_flight: int) -> dict[str, Any]:
    """Figures of a run over a folder, and the GPU's load meanwhile."""
    with GpuWatch() as watch:
        found = run_photos(side.segmenter, side.queries, side.setup.options, photos, out, in_flight=in_flight)
    return {**asdict(found), **watch.figures()}


class GpuWatch:
    """Samples the first GPU's load and memory while a block runs; has no figures where there is no nvidia-smi."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> GpuWatch:
        program = shutil.which("nvidia-smi")
        if program is not None:
            query = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--id=0"]
            command = [program, *query, f"--loop-ms={round(SAMPLE * 1000)}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        return self

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            busy, _, used = line.partition(",")
            if busy.strip().isdigit():
                self.samples.append((float(busy), float(used)))

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def figures(self) -> dict[str, float]:
        """Mean share of the time in which a kernel ran, 0 to 1, and the peak of the memory in MiB."""
        if not self.samples:
            return {}
        busy, used = zip(*self.samples, strict=True)
        return {"gpu_busy": float(np.mean(busy)) / 100, "gpu_memory_mib": max(used)}
