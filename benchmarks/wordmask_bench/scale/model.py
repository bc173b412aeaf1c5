"""Resources that many photos need, computed from the benchmarks' JSON files.

Measured figures come from benchmarks/results. Figures that were not measured here are Assumptions with their sources,
and a device that is computed from them is marked as not measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from wordmask_bench.scale.bytes import Bytes, read_bytes
from wordmask_bench.speed.report import BenchReport, Measurement, read_report
from wordmask_bench.speed.results_table import RESULTS

DAY, HOUR = 86400.0, 3600.0
WINDOW, MASK = 224, 256  # sides in pixels of the models in the results: CLIP's windows, SAM2's low-resolution masks


@dataclass(frozen=True)
class Goal:
    """A number of photos to process in a number of days."""

    name: str
    photos: float
    days: float

    @property
    def rate(self) -> float:
        """Photos per second."""
        return self.photos / (self.days * DAY)


SHARD = 100_000  # photos per run that docs/scale.md recommends
GOALS = (Goal("a million in a day", 1e6, 1), Goal("a billion in 30 days", 1e9, 30))


@dataclass(frozen=True)
class Assumption:
    """A figure that was not measured here."""

    name: str
    value: float
    unit: str
    source: str


LOFTUP = Assumption(
    "LoftUp as published, 448x448 pixels", 4, "a second on an A100-40GB", "Chambon et al., NAF, arXiv:2511.18452"
)
ENCODER = Assumption(
    "SAM2 B+ encoder, TensorRT fp16", 0.023, "s on an L40S", "TIER IV, tier4.co.jp/en/updates/20250625"
)
PROMPT = Assumption("SAM2 B+ decoder, TensorRT fp16", 0.00067, "s a prompt on an L40S", "the same")
SUSTAINED = tuple(
    Assumption(f"a GPU that sustains {rate} TFLOP/s", rate, "TFLOP/s on these graphs", "a parameter, nobody's figure")
    for rate in (50, 100, 200)
)
CORES = Assumption("cores beside a GPU", 16, "cores", "a parameter: a usual cloud machine")
NETWORK = Assumption("network of a GPU's machine", 10, "Gbit/s", "a parameter")
BUS = Assumption("host memory to GPU", 20, "GB/s", "a parameter: PCIe 4.0 x16, which has 32 at most")
GETS = Assumption("object store, reads", 5500, "a second and prefix", "AWS, S3 performance design patterns")
PUTS = Assumption("object store, writes", 3500, "a second and prefix", "the same")
ASSUMPTIONS = (LOFTUP, ENCODER, PROMPT, *SUSTAINED, CORES, NETWORK, BUS, GETS, PUTS)


@dataclass(frozen=True)
class Device:
    """A core or a GPU that processes photos.

    Attributes:
        name: of the device.
        unit: `core` or `GPU`.
        seconds: of one unit per photo; with the host's work if it was measured, without it if it is assumed.
        measured: whether it was measured here; otherwise it is computed from assumptions.
    """

    name: str
    unit: str
    seconds: float
    measured: bool


@dataclass(frozen=True)
class GpuRun:
    """A measured run over a folder on a GPU: the machine, and its file in the results."""

    name: str
    file: str
    in_flight: int


GPU_RUNS = (
    GpuRun("an H200 and 16 cores, CUDA fp32, SAM2 large", "h200-2026-11-27/after/folder-fp32.json", 4),
    GpuRun("the same, CUDA fp16", "h200-2026-11-27/after/folder-fp16.json", 4),
)


@dataclass(frozen=True)
class HostPath:
    """Work of the host for a photo whose graphs run on a GPU.

    Attributes:
        pixels: of the photo.
        core_seconds: of everything outside the graphs.
        decoding: core-seconds of reading and decoding the file; part of core_seconds.
    """

    pixels: int
    core_seconds: float
    decoding: float


@dataclass(frozen=True)
class Facts:
    """Measured figures of a photo.

    Attributes:
        report: benchmark of whole photos with the default windows.
        photo: the photo's measurement in the report.
        host: the host's work for such a photo, measured by wordmask_bench.studies.host_path.
        gpus: seconds per photo of each of GPU_RUNS, with the host's work.
        ragged, clean: bytes of a run on photos unlike the training data, and of a run on scenes like it.
    """

    report: BenchReport
    photo: Measurement
    host: HostPath
    gpus: dict[str, float]
    ragged: Bytes
    clean: Bytes

    @property
    def moved(self) -> float:
        """Bytes per photo between host and GPU: windows and the photo to it, class map and chosen masks back.

        Features, similarities, SAM2's maps and the other masks stay on the GPU (not with Triton, see docs/serving.md).
        """
        up = self.photo.windows * WINDOW**2 * 3 + self.host.pixels * 3
        down = self.host.pixels * (1 + 4) + self.photo.prompts * MASK**2 * 4  # index, confidence; masks
        return up + down

    @property
    def read(self) -> float:
        """Mean bytes of a photo's file."""
        return self.ragged.read / self.ragged.photos

    @property
    def written(self) -> float:
        """Mean bytes of a photo's outputs, with ragged masks."""
        return (self.ragged.semantic + self.ragged.annotations) / self.ragged.photos


def read_facts(root: Path) -> Facts:
    """Reads the facts from the results in a checkout."""
    results = root / RESULTS
    report = read_report(results / "bench-2-default.json")
    photo = next(row for row in report.measurements if row.name == "photo")
    gpus = {run.name: _seconds(results / run.file, run.in_flight) for run in GPU_RUNS}
    host = read_host_path(results / "host-path.json")
    ragged, clean = (read_bytes(results / f"bytes-{kind}.json") for kind in ("photos", "scenes"))
    return Facts(report, photo, host, gpus, ragged, clean)


def read_host_path(file: Path) -> HostPath:
    """Reads a file that `python -m wordmask_bench.studies.host_path --json FILE` wrote."""
    found = json.loads(file.read_text(encoding="utf-8"))
    width, height = map(int, found["photo"].split("x"))
    decode = found["in_flight_1"]["stages_ms"]["decode"]
    return HostPath(width * height, found["cpu_ms_per_photo"] / 1000, decode / 1000)


def _seconds(file: Path, in_flight: int) -> float:
    """Seconds per photo of a folder run that gpu_check's step `folder-DEVICE` measured."""
    return 1 / float(json.loads(file.read_text(encoding="utf-8"))[f"in_flight.{in_flight}"]["photos_per_second"])


def devices(facts: Facts) -> list[Device]:
    """Measured cores and GPUs, then assumed GPUs."""
    photo, threads = facts.photo, facts.report.subject.threads
    found = [
        Device(name.removeprefix("wordmask "), "core", photo.times[name].median_ms / 1000 * threads, True)
        for name in facts.report.engines
    ]
    found += [Device(name, "GPU", seconds, True) for name, seconds in facts.gpus.items()]
    quoted = photo.windows * (WINDOW / 448) ** 2 / LOFTUP.value + ENCODER.value + photo.prompts * PROMPT.value
    found.append(Device("GPU, from others' figures", "GPU", quoted, False))
    assert photo.gflop is not None
    found += [Device(rate.name, "GPU", photo.gflop / 1000 / rate.value, False) for rate in SUSTAINED]
    return found


def ceilings(device: Device, facts: Facts) -> dict[str, float]:
    """Photos per second that each part of a machine with a GPU allows."""
    return {
        "GPU": 1 / device.seconds,
        "cores": CORES.value / facts.host.core_seconds,
        "bus": BUS.value * 1e9 / facts.moved,
        "network": NETWORK.value * 1e9 / 8 / (facts.read + facts.written),
    }
