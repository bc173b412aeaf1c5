"""Writes report.html beside what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import REPORT
from wordmask.outputs.run_record import RunRecord
from wordmask.photo.job import Job
from wordmask.photo.options import ReadOptions
from wordmask.report.data import Run, read_photo
from wordmask.report.html import report_page
from wordmask.system.files import write_bytes

WORKERS = 4  # photos decoded at once


def write_report(
    out: Path, record: RunRecord, journal: Journal, jobs: Sequence[Job], words: Sequence[str], reading: ReadOptions
) -> None:
    """Writes report.html and the pictures it shows, in report_assets beside it; pictures that are there stay.

    Args:
        out: the folder of a run all of whose photos have their rows.
        record: of that run.
        journal: of that run.
        jobs: its photos, which are decoded once more.
        words: its classes.
        reading: how they were read in the run.

    Raises:
        OutputError: it cannot be written.
    """
    with ThreadPoolExecutor(WORKERS, "report") as pool:
        photos = tuple(pool.map(lambda done: read_photo(out, done[0], done[1], words, reading), journal.rows(jobs)))
    write_bytes(out / REPORT, report_page(Run(tuple(words), record, photos)))
