"""Builds each published SAM2, LoftUp and OpenAI-style CLIP at full size with random weights: parity, time, memory.

    python -m wordmask_bench.studies.published_models rows.jsonl --page docs/published-models.md

Each model is built in a process of its own beside narrow models for the other parts, and its bundle is removed. A row
is appended to the file as soon as it is measured; models that have a row are not built again. This takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from wordmask.bundle.manifest_reading import read_any_manifest
from wordmask_bench.machine.markdown import markdown_table

SAM2 = tuple(
    f"{family}_hiera_{size}" for size in ("tiny", "small", "base_plus", "large") for family in ("sam2", "sam2.1")
)
BACKBONES = ("dinov2s", "dinov2s_reg", "siglip", "siglip2", "dinov2b", "dinov2b_reg")
CLIPS = (
    *("ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-32-256", "ViT-B-16", "ViT-B-16-quickgelu"),
    *("ViT-L-14", "ViT-L-14-quickgelu", "ViT-L-14-336", "ViT-L-14-336-quickgelu", "ViT-H-14"),
)
MODELS = (
    *(("SAM2", name) for name in SAM2),
    *(("LoftUp", f"loftup_{name}") for name in ("clip", *BACKBONES)),
    *(("CLIP", name) for name in CLIPS),
)
GRAPHS = {  # of a bundle, those of the model that is measured
    "SAM2": ("sam2_encoder", "sam2_decoder"),
    "LoftUp": ("backbone_image", "loftup", "loftup_cpu", "loftup_features"),
    "CLIP": ("clip_image", "clip_text"),
}
HEAD = ("part", "model", "processor, s", "peak memory, GiB", "graphs, MB", "largest error", "least agreement")
ROWS = "benchmarks/results/published-models.jsonl"
WIDTH = 128  # of the page's lines


@dataclass(frozen=True)
class Row:
    """What one build took and gave.

    Attributes:
        seconds, processor_seconds: of the process; the first depend on what else the machine does.
        peak_gib: the most memory that it held.
        megabytes: of the graphs of this model.
        parity: the graphs' figures by name.
        refused: the last line of a build that failed; empty otherwise.
    """

    part: str
    model: str
    seconds: float
    processor_seconds: float
    peak_gib: float
    megabytes: dict[str, float]
    parity: dict[str, float]
    refused: str = ""


def build_options(part: str, model: str, narrow_clip: Path) -> list[str]:
    """The options of `wordmask build` that build a model at full size and the other parts as narrow as can be."""
    import wordmask_export.tiny  # noqa: PLC0415  (imports torch)

    tiny = Path(wordmask_export.tiny.__path__[0])
    small_sam = ["--sam2", str(tiny / "tiny_sam2.yaml")]
    if part == "SAM2":
        return ["--clip", str(tiny / "tiny_clip.json"), "--loftup", "none", "--sam2", model]
    if part == "CLIP":
        return ["--clip", model, "--loftup", "none", *small_sam]
    backbone = model.removeprefix("loftup_")
    if backbone != "clip":
        return ["--backbone", backbone]
    config = json.loads((tiny / "tiny_clip.json").read_text()) | {"embed_dim": 512}  # ViT-B/16's
    narrow_clip.write_text(json.dumps(config))
    return ["--clip", str(narrow_clip), *small_sam]


def measure(part: str, model: str) -> Row:
    """Builds a model in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "bundle"), Path(folder, "log")
        options = build_options(part, model, Path(folder, "clip.json"))
        command = [sys.executable, "-m", "wordmask", "build", str(out), *options, "--weights", "random:0"]
        start = time.perf_counter()
        with log.open("wb") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        spent = (time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)
        if process.returncode:
            lines = log.read_text().splitlines() or [""]
            return Row(part, model, *spent, {}, {}, lines[-1] or f"status {process.returncode}")
        manifest = read_any_manifest(out)
        sizes = {name: manifest.graphs[name].size / 1e6 for name in GRAPHS[part] if name in manifest.graphs}
        parity = {name: value for name, value in manifest.parity.items() if name.partition(".")[0] in sizes}
        return Row(part, model, *spent, sizes, parity)


def read(rows: Path) -> list[Row]:
    """The rows that have been measured."""
    return [Row(**json.loads(line)) for line in rows.read_text().splitlines()] if rows.exists() else []


def page(rows: list[Row]) -> Iterator[str]:
    """The lines of docs/published-models.md."""
    yield "# The published models, built once"
    yield ""
    yield from textwrap.wrap(
        "**Random weights.** No model on this page was built from its published weights: each was built once at full "
        "size with seeded random weights, and its graphs were compared with PyTorch. Sizes and memory do not depend on "
        "the weights; the errors do a little. This measures models that have no row yet and makes this page:",
        WIDTH,
    )
    yield ""
    yield f"    python -m wordmask_bench.studies.published_models {ROWS} --page docs/published-models.md"
    yield ""
    yield from markdown_table(HEAD, (_cells(row) for row in rows if not row.refused))
    yield ""
    yield from textwrap.wrap(
        "Seconds are the processor's, for building and comparing, because the machine (two cores) was busy with other "
        "work. Peak memory is the most that the process held. The other parts of each bundle were narrow, so a whole "
        "bundle takes the sum of the seconds and sizes, and more memory. Error: the largest relative error of the "
        "model's graphs against PyTorch; agreement: the least share of pixels, or IoU of masks, on which both agree.",
        WIDTH,
    )
    refused = [f"- {row.model}: {row.refused.removeprefix('wordmask build: ')}" for row in rows if row.refused]
    if refused:
        yield from ("", "Not built:", "", *refused)
    measured = {(row.part, row.model) for row in rows}
    left = [model for part, model in MODELS if (part, model) not in measured]
    if left:
        yield from ("", *textwrap.wrap(f"Not measured yet: {', '.join(left)}.", WIDTH, break_on_hyphens=False))


def _cells(row: Row) -> tuple[str, ...]:
    errors = [value for name, value in row.parity.items() if name.endswith("error")]
    agreements = [value for name, value in row.parity.items() if name.endswith(("agreement", "iou"))]
    spent = (f"{row.processor_seconds:.0f}", f"{row.peak_gib:.1f}")
    least = f"{min(agreements):.4f}" if agreements else ""
    return row.part, row.model, *spent, f"{sum(row.megabytes.values()):.0f}", f"{max(errors):.1e}", least


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl", help="measured rows; new ones are appended")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of the rows")
    parser.add_argument("--only", metavar="TEXT", default="", help="only models with this in their name or part")
    args = parser.parse_args()
    known = {(row.part, row.model) for row in read(args.rows)}
    for part, model in MODELS:
        if (part, model) not in known and args.only in f"{part} {model}":
            row = measure(part, model)
            with args.rows.open("a") as stream:
                stream.write(json.dumps(asdict(row)) + "\n")
            print(part, model, row.refused or f"{row.seconds:.0f} s", flush=True)  # noqa: T201
    if args.page:
        args.page.write_text("\n".join(page(read(args.rows))) + "\n")


if __name__ == "__main__":
    main()
