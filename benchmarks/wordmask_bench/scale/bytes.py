"""Bytes per photo, measured on a finished run: what was read, and what is in the output folder.

python -m wordmask_bench.scale.bytes OUT --json benchmarks/results/bytes-photos.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wordmask.bundle.strict_json import parse_as
from wordmask.outputs.layout import JOURNAL, SHARDS
from wordmask.outputs.rows import DoneRow, parse_row
from wordmask.run.find_photos import find_photos

LISTED = 20_000  # photos in the list whose memory is measured


@dataclass(frozen=True)
class Bytes:
    """Totals over the photos of a run.

    Attributes:
        photos: that succeeded.
        masks, pixels: of these photos.
        read: bytes of their files.
        semantic, annotations, journal: bytes of the semantic PNGs, of the annotations of each photo, of the journal.
        document: bytes of annotations.json, all annotations in one file.
        listed: bytes of memory per photo in the list of a run.
    """

    photos: int
    masks: int
    pixels: int
    read: int
    semantic: int
    annotations: int
    journal: int
    document: int
    listed: float


def measure(out: Path) -> Bytes:
    """Counts the bytes in the folder of a finished run.

    Raises:
        ValueError: a photo failed, or the run is not finished.
    """
    lines = [parse_row(line) for line in (out / JOURNAL).read_bytes().splitlines()]
    rows = [row for row in lines if isinstance(row, DoneRow)]
    if not rows or len(rows) < len(lines):
        raise ValueError(f"{out}: not a finished run of photos that all succeeded")
    return Bytes(
        photos=len(rows),
        masks=sum(row.instances for row in rows),
        pixels=sum(row.height * row.width for row in rows),
        read=sum(row.bytes or 0 for row in rows),
        semantic=_size(out / "semantic"),
        annotations=_size(out / SHARDS),
        journal=(out / JOURNAL).stat().st_size,
        document=(out / "annotations.json").stat().st_size,
        listed=listed_bytes(LISTED),
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def listed_bytes(count: int) -> float:
    """Bytes of memory per photo of the list that a run makes at its start, measured on `count` empty files."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            (Path(folder) / f"{i:012d}.jpg").touch()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            jobs = find_photos([Path(folder)])
            return (tracemalloc.get_traced_memory()[0] - before) / len(jobs)
        finally:
            tracemalloc.stop()


def read_bytes(path: Path) -> Bytes:
    """Reads the file that this command wrote.

    Raises:
        ManifestError: it is another file.
    """
    found: Bytes = parse_as(Bytes, json.loads(path.read_text(encoding="utf-8")), path.name)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="wordmask_bench.scale.bytes", description="Bytes per photo of a finished run."
    )
    parser.add_argument("out", type=Path, help="a run's output folder")
    parser.add_argument("--json", type=Path, required=True, help="write the figures here")
    args = parser.parse_args(arguments)
    args.json.write_text(json.dumps(asdict(measure(args.out)), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
