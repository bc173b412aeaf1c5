"""What a million and a billion photos take: a model of a few multiplications over the benchmarks' JSON files.

What was measured comes from benchmarks/results; what was not (every figure of a GPU, a network, a store) is an
Assumption with its source, and stays apart from the measured in every table. docs/scale.md holds the tables:

python -m wordmask_bench.scale docs/scale.md
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordmask_bench.bench_report import Measurement, Report, read_report
from wordmask_bench.scale_bytes import Bytes, read_bytes
from wordmask_bench.scale_table import BEGIN, END, amount, counted, size, table
from wordmask_bench.speed_table import RESULTS, renewed

DAY, HOUR = 86400.0, 3600.0
AROUND = ("decode", "prompts", "masks", "write")  # stages on one core each, beside the graphs
WINDOW, SQUARE, MASK = 224, 1024, 256  # sides in pixels of the models in the results: CLIP's, SAM2's, its decoder's


@dataclass(frozen=True)
class Goal:
    """So many photos in so many days."""

    name: str
    photos: float
    days: float

    @property
    def rate(self) -> float:
        """Photos a second."""
        return self.photos / (self.days * DAY)


SHARD = 100_000  # photos that docs/scale.md advises for a run
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
    """Something that does photos.

    Attributes:
        name: of it. unit: what is counted: `core` or `GPU`.
        seconds: of one unit, a photo; of a core with all that surrounds the graphs, of a GPU without.
        measured: here. If not, it is made of assumptions.
    """

    name: str
    unit: str
    seconds: float
    measured: bool


@dataclass(frozen=True)
class Facts:
    """What the results say of a photo.

    Attributes:
        report: of whole photos at the default windows. photo: its row.
        ragged, clean: bytes of runs on photos that the model knows nothing of, and on scenes that it knows.
    """

    report: Report
    photo: Measurement
    ragged: Bytes
    clean: Bytes

    @property
    def around(self) -> float:
        """Core-seconds a photo of what surrounds the graphs; the class map takes all of the benchmark's cores."""
        stages = self.photo.stages_ms[self.report.engines[0]]
        return (sum(stages[name] for name in AROUND) + stages["class_map"] * self.report.subject.threads) / 1000

    @property
    def decoding(self) -> float:
        """Core-seconds a photo of reading and decoding its file: a part of `around`."""
        return self.photo.stages_ms[self.report.engines[0]]["decode"] / 1000

    @property
    def moved(self) -> float:
        """Bytes a photo that cross the bus: windows and SAM2's square to the GPU, logits and small masks from it.

        Features and SAM2's maps stay there (not through Triton, see docs/serving.md).
        """
        window = WINDOW * WINDOW
        up = self.photo.windows * window * 3 + SQUARE**2 * 3
        down = self.photo.windows * self.report.subject.words * window * 4 + self.photo.prompts * MASK**2 * 4
        return up + down

    @property
    def read(self) -> float:
        """Bytes of a photo's file."""
        return self.ragged.read / self.ragged.photos

    @property
    def written(self) -> float:
        """Bytes of a photo's outputs, at the upper end."""
        return (self.ragged.semantic + self.ragged.annotations) / self.ragged.photos


def read_facts(root: Path) -> Facts:
    """The facts in a checkout."""
    results = root / RESULTS
    report = read_report(results / "bench-2-default.json")
    photo = next(row for row in report.measurements if row.name == "photo")
    return Facts(report, photo, read_bytes(results / "bytes-photos.json"), read_bytes(results / "bytes-scenes.json"))


def devices(facts: Facts) -> list[Device]:
    """Cores as measured, then GPUs as assumed."""
    photo, threads = facts.photo, facts.report.subject.threads
    found = [
        Device(name.removeprefix("wordmask "), "core", photo.times[name].median_ms / 1000 * threads, True)
        for name in facts.report.engines
    ]
    quoted = photo.windows * (WINDOW / 448) ** 2 / LOFTUP.value + ENCODER.value + photo.prompts * PROMPT.value
    found.append(Device("GPU, from others' figures", "GPU", quoted, False))
    assert photo.gflop is not None
    found += [Device(rate.name, "GPU", photo.gflop / 1000 / rate.value, False) for rate in SUSTAINED]
    return found


def ceilings(device: Device, facts: Facts) -> dict[str, float]:
    """Photos a second that each part of a GPU's machine allows."""
    return {
        "GPU": 1 / device.seconds,
        "cores": CORES.value / facts.around,
        "bus": BUS.value * 1e9 / facts.moved,
        "network": NETWORK.value * 1e9 / 8 / (facts.read + facts.written),
    }


def sections(facts: Facts) -> Iterator[str]:
    """All tables as Markdown, each under its heading."""
    yield _photo(facts)
    yield _devices(facts)
    yield _goals(facts)
    yield _ceilings(facts)
    yield _bytes(facts)
    yield _rates(facts)
    rows = [(a.name, f"{a.value:g} {a.unit}", a.source) for a in ASSUMPTIONS]
    yield table("Assumed, not measured", ("what", "figure", "from"), rows)


def _photo(facts: Facts) -> str:
    photo, report = facts.photo, facts.report
    assert photo.gflop is not None
    rows = [
        ("windows, prompts", f"{photo.windows}, {photo.prompts}", report.date),
        ("work of the graphs", f"{photo.gflop / 1000:.2f} TFLOP", "counted in the ONNX files"),
        (
            "around the graphs",
            f"{facts.around:.2f} core-seconds",
            f"decode, class map, prompts, masks, write ({photo.photo})",
        ),
        ("of that, decoding", f"{facts.decoding * 1000:.1f} core-ms", "the same"),
        ("its file", size(facts.read), f"mean of {facts.ragged.photos} photos"),
        ("semantic PNG", size(facts.ragged.semantic / facts.ragged.photos), "the same"),
        ("annotations, ragged masks", size(facts.ragged.annotations / facts.ragged.photos), _per_mask(facts.ragged)),
        ("annotations, clean masks", size(facts.clean.annotations / facts.clean.photos), _per_mask(facts.clean)),
        (
            "a row of the journal",
            size(facts.clean.journal / facts.clean.photos),
            f"mean of {facts.clean.photos} scenes",
        ),
        ("its place in a run's list", size(facts.clean.listed), "memory"),
        ("between host and GPU", size(facts.moved), f"computed: {report.subject.words} words, maps stay on the GPU"),
    ]
    return table("A photo", ("what", "figure", "how known"), rows)


def _per_mask(found: Bytes) -> str:
    return f"{found.masks / found.photos:.0f} masks a photo, {size(found.annotations / found.masks)} each"


def _devices(facts: Facts) -> str:
    rows = []
    for device in devices(facts):
        beside = [f"{work / device.seconds:.2g}" for work in (facts.around, facts.decoding)]
        cells = ["in it", "in it"] if device.measured else beside
        rows.append((device.name, *_kind(device), f"{1 / device.seconds:.3g}", *cells))
    head = ("device", "known", "seconds a photo", "photos a second", "cores beside it", "of them, to decode")
    return table("A core, a GPU", head, rows)


def _kind(device: Device) -> tuple[str, str]:
    return "measured" if device.measured else "**assumed**", f"{device.seconds:.3g} {device.unit}-s"


def _goals(facts: Facts) -> str:
    rows = []
    for device in devices(facts):
        cells = [device.name, _kind(device)[0]]
        for goal in GOALS:
            hours = f"{amount(goal.photos * device.seconds / HOUR)} {device.unit}-h"
            beside = "" if device.measured else f" + {counted(math.ceil(goal.rate * facts.around), 'core')}"
            cells += [hours, f"{counted(math.ceil(goal.rate * device.seconds), device.unit)}{beside}"]
        rows.append(cells)
    head = ["device", "known"]
    for goal in GOALS:
        head += [f"{goal.name}: work", "machines"]
    return table("A million, a billion", head, rows)


def _ceilings(facts: Facts) -> str:
    rows = []
    for device in devices(facts):
        if not device.measured:
            found = ceilings(device, facts)
            tightest = min(found, key=lambda name: found[name])
            rows.append((device.name, *(amount(value) for value in found.values()), tightest))
    head = ("device", "GPU", f"{CORES.value:g} cores", "bus", "network", "tightest")
    return table("What a GPU's machine allows, photos a second (all assumed but the work of the cores)", head, rows)


def _bytes(facts: Facts) -> str:
    ragged, clean = facts.ragged, facts.clean
    counts = (*(goal.photos for goal in GOALS), SHARD)
    kinds = [
        ("photos", facts.read, facts.read),
        ("semantic PNGs", clean.semantic / clean.photos, ragged.semantic / ragged.photos),
        ("annotations of each photo", clean.annotations / clean.photos, ragged.annotations / ragged.photos),
        ("annotations.json", clean.document / clean.photos, ragged.document / ragged.photos),
        ("journal", clean.journal / clean.photos, clean.journal / clean.photos),
        ("list in memory", clean.listed, clean.listed),
    ]
    rows = []
    for name, least, most in kinds:
        cells = [name]
        for count in counts:
            low, high = size(least * count), size(most * count)
            cells.append(low if low == high else f"{low} to {high}")
        rows.append(cells)
    rows.append(["files written", *(amount(2 * count) for count in counts)])
    return table("Bytes", ("what", "a million", "a billion", f"a shard of {SHARD:,}"), rows)


def _rates(facts: Facts) -> str:
    gets, puts = [goal.rate for goal in GOALS], [2 * goal.rate for goal in GOALS]
    gigabits = [goal.rate * (facts.read + facts.written) * 8 / 1e9 for goal in GOALS]
    rows = [
        ("photos a second", *(f"{goal.rate:.3g}" for goal in GOALS), ""),
        ("photos in and results out, Gbit/s", *(f"{rate:.2g}" for rate in gigabits), f"{NETWORK.value:g} a machine"),
        ("reads a second", *(f"{rate:.3g}" for rate in gets), f"{GETS.value:g} a prefix"),
        ("writes a second", *(f"{rate:.3g}" for rate in puts), f"{PUTS.value:g} a prefix"),
    ]
    return table("Rates", ("what", *(goal.name for goal in GOALS), "limit, assumed"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.scale", description="What many photos cost.")
    parser.add_argument("document", type=Path, nargs="?", help="renew its tables; without it they are shown")
    document: Path | None = parser.parse_args(arguments).document
    root = (document or Path(__file__)).resolve().parents[1 if document else 2]
    tables = "\n\n".join(sections(read_facts(root)))
    if document is None:
        sys.stdout.write(f"{tables}\n")
    else:
        text = renewed(document.read_text(encoding="utf-8"), tables, BEGIN, END)
        document.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
