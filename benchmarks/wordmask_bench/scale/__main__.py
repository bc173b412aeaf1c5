"""The tables of docs/scale.md: resources for a million and a billion photos, by wordmask_bench.scale.model.

python -m wordmask_bench.scale docs/scale.md
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from wordmask_bench.scale.bytes import Bytes
from wordmask_bench.scale.model import (
    ASSUMPTIONS,
    CORES,
    GETS,
    GOALS,
    HOUR,
    NETWORK,
    PUTS,
    SHARD,
    Device,
    Facts,
    ceilings,
    devices,
    read_facts,
)
from wordmask_bench.scale.table import BEGIN, END, amount, counted, size, table
from wordmask_bench.speed.results_table import renewed


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
        ("the host's part beside a GPU", f"{facts.host.core_seconds * 1000:.0f} core-ms", "host-path.json"),
        ("of that, decoding", f"{facts.host.decoding * 1000:.1f} core-ms", "the same"),
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
        ("between host and GPU", size(facts.moved), "computed: similarities and maps stay on the GPU"),
    ]
    return table("A photo", ("what", "figure", "how known"), rows)


def _per_mask(found: Bytes) -> str:
    return f"{found.masks / found.photos:.0f} masks a photo, {size(found.annotations / found.masks)} each"


def _devices(facts: Facts) -> str:
    rows = []
    for device in devices(facts):
        beside = [f"{work / device.seconds:.2g}" for work in (facts.host.core_seconds, facts.host.decoding)]
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
            beside = "" if device.measured else f" + {counted(math.ceil(goal.rate * facts.host.core_seconds), 'core')}"
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.scale", description="Resources that many photos need.")
    parser.add_argument("document", type=Path, nargs="?", help="replace its tables; without it they are printed")
    document: Path | None = parser.parse_args(arguments).document
    root = (document or Path(__file__)).resolve().parents[1 if document else 3]
    tables = "\n\n".join(sections(read_facts(root)))
    if document is None:
        sys.stdout.write(f"{tables}\n")
    else:
        text = renewed(document.read_text(encoding="utf-8"), tables, BEGIN, END)
        document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
