"""Where a run goes on: what an earlier one left in the output folder, if it was the same run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from wordmask.errors import OutputError, ResumeError
from wordmask.journal import Entry, Journal
from wordmask.layout import FILES, JOURNAL, TOTALS, outputs
from wordmask.output import TEMPORARY
from wordmask.photos import Job

FREE = {"photos", "threads", "in_flight", "report"}  # settings that may differ: they change no photo's result
QUARANTINE = 2  # deaths of the process at work on a photo
ADVICE = "run with the same, give another --output, or start afresh with --restart"


@dataclass(frozen=True)
class Plan:
    """What is left to do.

    Attributes:
        journal: what is done.
        rest: photos to do.
        suspects: photos to do one by one, because the process died while they and others were worked on.
        quarantined: photos at which it died again.
    """

    journal: Journal
    rest: Sequence[Job]
    suspects: Sequence[Job]
    quarantined: Sequence[Job]


def prepare(
    out: Path,
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    kinds: Sequence[str],
    *,
    restart: bool = False,
    retry_quarantined: bool = False,
) -> Plan:
    """Looks at what stands in a locked output folder and clears away what is of no use.

    Photos that are done stay done; those that failed are tried again, quarantined ones only if asked.

    Args:
        out: the output folder.
        jobs: the photos.
        settings: all that the results depend on, and what may differ (FREE).
        kinds: the outputs that each photo has.
        restart: clear the earlier run's outputs and begin from the start.
        retry_quarantined: try those photos once more, one by one.

    Raises:
        ResumeError: an earlier run in this folder was another one, or the folder holds what no run wrote.
        OutputError: the folder cannot be read or written.
    """
    journal = Journal(out / JOURNAL)
    foreign = [name for name in TOTALS if (out / name).exists()]
    if foreign and not journal.path.exists():
        raise ResumeError(f"{out} holds {foreign[0]}, which no run into it wrote: give another --output")
    if restart:
        clear(out, (*journal.finished, *journal.unfinished))
        for name in (*TOTALS, JOURNAL):  # the journal last: without it, what is left could not be found
            (out / name).unlink(missing_ok=True)
        journal = Journal(out / JOURNAL)
    elif journal.finished or journal.unfinished:
        _check_settings(out, settings)
        _keep(out, journal, jobs, kinds, retry_quarantined=retry_quarantined)
        clear(out, journal.unfinished)
        names = {job.name for job in jobs}
        journal.unfinished = {name: deaths for name, deaths in journal.unfinished.items() if deaths and name in names}
    pattern = f"{TEMPORARY}*"
    for left in chain(out.glob(pattern), *((out / kind).rglob(pattern) for kind in FILES)):
        left.unlink(missing_ok=True)
    journal = journal.compacted(jobs)
    todo = [job for job in jobs if job.name not in journal.finished]
    deaths = journal.unfinished
    return Plan(
        journal,
        rest=[job for job in todo if not deaths.get(job.name)],
        suspects=[job for job in todo if 0 < deaths.get(job.name, 0) < QUARANTINE],
        quarantined=[job for job in todo if deaths.get(job.name, 0) >= QUARANTINE],
    )


def clear(out: Path, names: Iterable[str]) -> None:
    """Removes these photos' outputs, and folders that this leaves empty.

    Raises:
        OutputError: one cannot be removed.
    """
    folders: set[Path] = set()
    for name in names:
        for path in outputs(out, name).values():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise OutputError(f"cannot remove {str(path)!r}: {error.strerror}") from error
            folders.update(parent for parent in path.parents if out in parent.parents)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # it holds more
            folder.rmdir()


def _check_settings(out: Path, settings: Mapping[str, Any]) -> None:
    try:
        earlier = json.loads((out / "run.json").read_bytes())
        before = {**earlier["settings"], "bundle": earlier["bundle"]["id"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ResumeError(f"{out} holds a journal, but no run.json that says of which run: {ADVICE}") from error
    changed = [name for name in settings if name not in FREE and before.get(name) != settings[name]]
    if changed:
        told = "; ".join(
            f"{name} was {_short(before.get(name))} and is now {_short(settings[name])}" for name in changed
        )
        raise ResumeError(f"{out} holds another run: {told}: {ADVICE}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _keep(out: Path, journal: Journal, jobs: Sequence[Job], kinds: Sequence[str], *, retry_quarantined: bool) -> None:
    """Moves what has to be done again from `finished` to `unfinished`.

    Raises:
        ResumeError: a photo that is done is not the same any more.
    """
    by_name = {job.name: job for job in jobs}
    by_path = {str(job.path): job for job in jobs}
    for name, entry in list(journal.finished.items()):
        deaths = 0
        if entry.status == "ok":
            _check_photo(out, name, entry, by_name.get(name), by_path.get(entry.photo))
            places = outputs(out, name)
            if all(places[kind].is_file() for kind in kinds):
                continue
        elif entry.status == "QUARANTINED" and name in by_name:
            if not retry_quarantined:
                continue
            deaths = QUARANTINE - 1
        del journal.finished[name]
        journal.unfinished[name] = deaths


def _check_photo(out: Path, name: str, entry: Entry, same_name: Job | None, same_path: Job | None) -> None:
    if same_path is None:
        reason = "is not among the photos now"
    elif same_name is None or str(same_name.path) != entry.photo:
        reason = f"was written as {name!r}, and would now be {same_path.name!r} beside another photo of its name"
    elif same_name.stamp != entry.stamp:
        reason = "has changed since"
    else:
        return
    raise ResumeError(f"{out} holds another run: {entry.photo!r} {reason}: {ADVICE}")
