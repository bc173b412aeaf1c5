"""A folder of photos on one device: photos a second, and the share of the time in which the GPU computes."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wordmask.backends.onnxruntime.graph import default_threads
from wordmask.photo.job import Job, stamp
from wordmask.run.local import run_folder
from wordmask.run.request import RunRequest
from wordmask.text.word_lists import default_background
from wordmask.types import Options, Vocabulary
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import Figures, attempt, build, full_folder
from wordmask_bench.speed.side import Setup
from wordmask_bench.speed.wordmask_side import Engine

IN_FLIGHT = (2, 4, 8, 1)  # photos under way at once, most telling first
WORDS = 20
SAMPLE = 0.1  # seconds between two looks at the GPU


def folder_device(settings: Settings, variant: Variant) -> Figures:
    """Runs over copies of the photo, with 1 to 8 of them under way at once.

    Each photo has the protocol's windows, 20 words beside the default background, and prompts on a grid; masks and
    regions are smooth where the weights are random (see wordmask_bench.speed.smooth).
    """
    folder = full_folder(settings)
    yield "engines", build(settings, folder, variant)
    setup = Setup(
        variant="wordmask",
        bundle=str(folder),
        device=variant.device,
        threads=default_threads(),
        vocabulary=Vocabulary.parse([f"thing {number}" for number in range(WORDS)], default_background()),
        options=Options(upsample="full"),
        grid=settings.max_prompts,
        points=settings.max_prompts,
        tensorrt_precision=variant.precision or "fp16",
    )
    engine = Engine(setup)
    with tempfile.TemporaryDirectory(prefix="wordmask-folder-") as work:
        engine.words(Path(work) / "words.npy")
        photos = copies(settings.photo, settings.photos, Path(work) / "photos")
        run(engine, photos[:2], Path(work) / "first", 2)  # chooses convolutions, allocates
        yield "photos", len(photos)
        for in_flight in IN_FLIGHT:
            out = Path(work) / f"out{in_flight}"
            yield f"in_flight.{in_flight}", attempt(functools.partial(run, engine, photos, out, in_flight))


def copies(photo: Path, count: int, folder: Path) -> list[Path]:
    """As many files with the photo's content."""
    folder.mkdir()
    made = [folder / f"{number}{photo.suffix}" for number in range(count)]
    for path in made:
        shutil.copyfile(photo, path)
    return made


def run(engine: Engine, photos: Sequence[Path], out: Path, in_flight: int) -> dict[str, Any]:
    """One run over a folder: its speed, what the GPU did meanwhile, and seconds a photo and stage."""
    jobs = [Job(path, str(number), number + 1, stamp(path)) for number, path in enumerate(photos)]
    processor = time.process_time()
    with GpuWatch() as watch:
        start = time.perf_counter()
        request = RunRequest(jobs, engine.queries, out, engine.setup.options, restart=True, in_flight=in_flight)
        totals = run_folder(engine.segmenter, request)
        seconds = time.perf_counter() - start
    return {
        "photos_per_second": len(photos) / seconds,
        "cpu_ms_per_photo": (time.process_time() - processor) * 1000 / len(photos),
        "stages_ms": {stage: round(float(np.median(row)) * 1000, 2) for stage, row in totals.seconds.items()},
        **watch.figures(),
    }


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
