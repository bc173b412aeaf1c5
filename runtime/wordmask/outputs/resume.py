"""Decides where a run continues, from what an earlier run with the same settings left in the output folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wordmask.errors import OutputError, ResumeError
from wordmask.formats.terminal import printable
from wordmask.options import OPTIONS, REUSE_MAY_DIFFER
from wordmask.outputs.journal import Entry, Journal
from wordmask.outputs.layout import ENCODINGS, FILES, INTERMEDIATE, JOURNAL, RUN, TOTALS, output_paths
from wordmask.outputs.run_record import RunRecord
from wordmask.outputs.store import Store
from wordmask.photo.job import Job

# Settings that change no finished photo's result. With more pixels allowed, photos that were too large are done.
RESUME_MAY_DIFFER = {"photos", "threads", "in_flight", "report", "max_pixels"}
# Settings whose values can be given as options; words, for instance, are too many to repeat.
_ON_COMMAND_LINE = {*OPTIONS, "overlay", "save_dense", "lenient", "color_profile", "device", "upsampler_device"}
QUARANTINE = 2  # number of processes that died while they worked on a photo
ADVICE = "run with the same, give another --output, or start afresh with --restart"


@dataclass(frozen=True)
class Plan:
    """What is left to do.

    Attributes:
        journal: the finished photos.
        rest: photos to process.
        suspects: photos to process one at a time, because a process died while it worked on them and others.
        quarantined: photos at which at least QUARANTINE processes died; they are not processed.
    """

    journal: Journal
    rest: Sequence[Job]
    suspects: Sequence[Job]
    quarantined: Sequence[Job]


def prepare(
    out: Store,
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    kinds: Sequence[str],
    *,
    restart: bool = False,
    reuse: bool = False,
    retry_quarantined: bool = False,
) -> Plan:
    """Compares a locked output folder with this run and removes the outputs of unfinished photos.

    Finished photos are kept; those that failed are tried again, quarantined ones only if asked.

    Args:
        out: the output folder, with the journal in its home.
        jobs: the photos.
        settings: everything the results depend on, and those of RESUME_MAY_DIFFER.
        kinds: the outputs that each photo has.
        restart: remove the earlier run's outputs and begin again.
        reuse: do so where that run cannot be continued, but leave what it kept of these photos before their prompts.
        retry_quarantined: process those photos once more, one at a time.

    Raises:
        ResumeError: the earlier run had other settings, or the folder holds files that no run wrote.
        OutputError: the folder cannot be read or written.
    """
    journal = Journal(out.home / JOURNAL)
    exists = out.inventory([""])
    foreign = [name for name in TOTALS if exists(name)]
    if foreign and not journal.path.exists():
        raise ResumeError(f"{out} holds {foreign[0]}, which no run into it wrote: give another --output")
    names = {job.name for job in jobs}
    if restart:
        journal = _restarted(out, journal)
    elif journal.finished or journal.unfinished:
        try:
            _check_settings(out, journal, settings)
            _keep(out, journal, jobs, kinds, retry_quarantined=retry_quarantined)
        except ResumeError:
            if not reuse:
                raise
            journal = _restarted(out, journal, sparing=names)
        out.remove(_outputs(journal.unfinished, sparing=names))
        journal.unfinished = {name: deaths for name, deaths in journal.unfinished.items() if deaths and name in names}
    out.tidy(tuple(FILES))
    journal = journal.compacted(jobs)
    todo = [job for job in jobs if job.name not in journal.finished]
    deaths = journal.unfinished
    return Plan(
        journal,
        rest=[job for job in todo if not deaths.get(job.name)],
        suspects=[job for job in todo if 0 < deaths.get(job.name, 0) < QUARANTINE],
        quarantined=[job for job in todo if deaths.get(job.name, 0) >= QUARANTINE],
    )


def _restarted(out: Store, journal: Journal, *, sparing: Collection[str] = ()) -> Journal:
    """Removes everything that an earlier run wrote, see _outputs; returns an empty journal."""
    out.remove(_outputs((*journal.finished, *journal.unfinished), sparing=sparing))
    for name in (*TOTALS, JOURNAL):  # the journal last: it names the files that are left
        out.remove([name])
    journal.path.unlink(missing_ok=True)
    return Journal(journal.path)


def _outputs(names: Iterable[str], *, sparing: Collection[str] = ()) -> Iterator[str]:
    """Paths of photos' outputs; of those to spare without what was kept before the prompts."""
    for name in names:
        for kind, path in output_paths(name).items():
            if kind not in INTERMEDIATE or name not in sparing:
                yield path


def _check_settings(out: Store, journal: Journal, settings: Mapping[str, Any]) -> None:
    try:
        earlier = RunRecord.parse(next(out.read([RUN])))
    except (OutputError, ValueError) as error:
        raise ResumeError(f"{out} holds a journal, but no {RUN} with its settings ({error}): {ADVICE}") from error
    before = {**earlier.settings, "bundle": earlier.bundle.id}
    changed = [name for name in settings if name not in RESUME_MAY_DIFFER and before.get(name) != settings[name]]
    if changed:
        differences = "; ".join(
            f"{name} was {_short(before.get(name))} and is now {_short(settings[name])}" for name in changed
        )
        same = ", ".join(_same(name, before.get(name)) for name in changed)
        way = f"to continue it run {same}; else give another --output, or start afresh with --restart"
        if {*changed} <= {*REUSE_MAY_DIFFER}:
            way += _way_to_reuse(out, journal)
        raise ResumeError(f"{out} holds another run: {differences}: {way}")


def _way_to_reuse(out: Store, journal: Journal) -> str:
    """The advice where prompts and masks alone would change."""
    kept = out.inventory([ENCODINGS])
    if any(kept(output_paths(name)[ENCODINGS]) for name in journal.finished):
        return ", or faster with --reuse, from the class maps that were kept"
    return " (after a run with --keep-intermediate, --reuse makes such changes faster)"


def _same(name: str, value: Any) -> str:
    """How the command line is told to take this value of a setting."""
    option = f"--{name.replace('_', '-')}"
    if name not in _ON_COMMAND_LINE:
        return f"with the same {name}"
    if name in OPTIONS and (off := OPTIONS[name][1].off) and not value:
        return f"with {off[0]}" if value is False else f"without {option} and {off[0]}"
    if value is None or value is False:
        return f"without {option}"
    return f"with {option}" if value is True else f"with {option} {value}"


def _short(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 100 else f"{text[:97]}..."


def _keep(out: Store, journal: Journal, jobs: Sequence[Job], kinds: Sequence[str], *, retry_quarantined: bool) -> None:
    """Moves photos that must be processed again from `finished` to `unfinished`.

    Raises:
        ResumeError: a finished photo has changed.
    """
    exists = out.inventory(kinds)
    by_name = {job.name: job for job in jobs}
    by_path = {str(job.path): job for job in jobs}
    for name, entry in list(journal.finished.items()):
        deaths = 0
        if entry.status == "ok":
            _check_photo(out, name, entry, by_name.get(name), by_path.get(entry.photo))
            paths = output_paths(name)
            if all(exists(paths[kind]) for kind in kinds):
                continue
        elif entry.status == "QUARANTINED" and name in by_name:
            if not retry_quarantined:
                continue
            deaths = QUARANTINE - 1
        del journal.finished[name]
        journal.unfinished[name] = deaths


def _check_photo(out: Store, name: str, entry: Entry, same_name: Job | None, same_path: Job | None) -> None:
    if same_path is None:
        reason = "is not among the photos now"
    elif same_name is None or str(same_name.path) != entry.photo:
        reason = f"was written as {name!r}, and would now be {same_path.name!r} beside another photo of its name"
    elif same_name.stamp != entry.stamp:
        reason = "has changed since"
    else:
        return
    raise ResumeError(f"{out} holds another run: {entry.photo!r} {reason}: {ADVICE}")
