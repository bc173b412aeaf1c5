"""journal.jsonl and run.json: a run goes on from whatever they hold, or is refused; nothing outside its folder goes."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import fuzz
from wordmask.errors import OutputError, ResumeError
from wordmask.outputs.journal import Journal, note_death
from wordmask.outputs.resume import prepare
from wordmask.outputs.run_record import BundleRecord, RunRecord
from wordmask.outputs.store import Folder
from wordmask.photo.job import Job

JOBS = [
    Job(Path(f"in/{name}.jpg"), name, number, (number, 7)) for number, name in enumerate(("a", "b", "c/d"), start=1)
]
SETTINGS = {"threads": 1, "vocabulary": [["cat"]], "bundle": "x"}
BUNDLE = BundleRecord("x", "photos", "fp32", {}, loftup=True)
RUN = asdict(
    RunRecord.of([], {"threads": 2, "vocabulary": [["cat"]]}, BUNDLE, finished=False, done_before=0, seconds=1.0)
)
DONE = {
    **{"notes": ["a note"], "height": 3, "width": 4, "instances": 1, "prompts": 2},
    **{"word_confidence": {"cat": 0.75}, "seconds": {"clip": 0.5}},
}
OUTPUTS = [
    f"{folder}/{job.name}{suffix}" for job in JOBS for folder, suffix in (("semantic", ".png"), ("overlay", ".jpg"))
]

anything = st.text(st.characters(exclude_categories=()), max_size=8)
numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 2, -1, 10**400, 2**64])
values = st.recursive(
    st.none() | st.booleans() | numbers | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from([job.name for job in JOBS])
odd_names = st.sampled_from(
    ["", ".", "..", "../outside", "/outside", "a\0b", "x" * 300, "semantic", "c", "c/", "\ud800"]
)


@st.composite
def ours(draw: st.DrawFn) -> dict[str, Any]:
    """A row as a run writes it."""
    job = draw(st.sampled_from(JOBS))
    row: dict[str, Any] = {"photo": str(job.path), "name": job.name}
    status = draw(st.sampled_from(["started", "unfinished", "died", "ok", "ok", "DECODE", "QUARANTINED"]))
    if status == "died":
        return {"status": status, "process": draw(st.integers(1, 3)), "signal": "SIGKILL"}
    if status == "unfinished":
        return {"name": job.name, "status": status, "deaths": draw(st.integers(0, 3))}
    if status == "started":
        return {**row, "status": status, "process": draw(st.integers(1, 3))}
    assert job.stamp is not None
    row |= {"bytes": job.stamp[0], "modified_ns": job.stamp[1], "status": status}
    return row | (DONE if status == "ok" else {"error": "?"})


@st.composite
def edited(draw: st.DrawFn, document: Any) -> Any:
    """A row or another document of ours with a member replaced, removed or added, at some depth."""
    place = document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(0, 2))):
        inner = [value for value in place.values() if isinstance(value, dict)]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    key = draw((st.sampled_from(sorted(place)) | anything) if place else anything)
    if draw(st.booleans()):
        place.pop(key, None)
    else:
        place[key] = draw(values | names | odd_names)
    return document


@st.composite
def journals(draw: st.DrawFn) -> bytes:
    """Rows, whole and edited, among lines of anything; perhaps cut."""
    rows = ours() | ours().flatmap(edited)
    lines = draw(st.lists(rows.map(lambda row: json.dumps(row).encode()) | st.binary(max_size=40), max_size=8))
    content = b"".join(line + b"\n" for line in lines)
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


runs = st.one_of(st.just(RUN).map(json.dumps), edited(RUN).map(json.dumps), values.map(json.dumps), st.text()).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)

Case = tuple[bytes, bytes, bool]


def lay_out(folder: Path, case: Case) -> Path:
    """An output folder with what a run leaves, and beside it what is none of its business."""
    shutil.rmtree(folder)
    out = folder / "out"
    for name in OUTPUTS:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()
    (folder / "outside.png").touch()
    (out / "outside.png").touch()
    (out / "journal.jsonl").write_bytes(case[0])
    (out / "run.json").write_bytes(case[1])
    return out


def deep(content: str) -> Case:
    """Nested deeper than a parser goes."""
    return content.encode() + b"\n", b"[" * 100_000, False


ok = json.dumps({"photo": "in/a.jpg", "name": "a", "status": "ok"})


@fuzz(
    st.tuples(journals(), runs, st.booleans()),
    examples=60,
    known=[
        deep('{"photo": "in/a.jpg", "name": "a", "status": "DECODE"}'),
        deep("[" * 100_000),
        (f"{ok}\n".encode(), json.dumps(RUN).encode(), False),  # without what totals are made of
        (b'{"name": "a", "status": "unfinished", "deaths": "2"}\n', json.dumps(RUN).encode(), False),
        (b'{"name": "a", "status": "unfinished", "deaths": -1}\n', json.dumps(RUN).encode(), False),
        (b'{"photo": "x", "name": "a\\u0000b", "status": "DECODE"}\n', json.dumps(RUN).encode(), True),
        (b'{"photo": ["x"], "name": "a", "status": "ok"}\n', json.dumps(RUN).encode(), False),
        (b'{"photo": "x", "name": "a", "status": ["ok"]}\n', json.dumps(RUN).encode(), True),
    ],
)
def test_a_run_goes_on_from_any_journal_or_is_refused(case: Case, folder: Path) -> None:
    out = lay_out(folder, case)
    try:
        plan = prepare(Folder(out), JOBS, SETTINGS, ["semantic"], retry_quarantined=case[2])
    except (ResumeError, OutputError) as error:
        assert str(error).replace(str(out), "").isprintable(), repr(str(error))
        return
    finally:
        assert (folder / "outside.png").exists()
        assert (out / "outside.png").exists()
    finished = list(plan.journal.rows(JOBS))
    todo = [*plan.rest, *plan.suspects, *plan.quarantined]
    assert sorted([job.name for job, _ in finished] + [job.name for job in todo]) == sorted(job.name for job in JOBS)
    record = RunRecord.of((row for _, row in finished), SETTINGS, BUNDLE, finished=False, done_before=0, seconds=1.0)
    assert record.totals.photos == len(finished)
    assert RunRecord.parse(record.to_bytes()) == record


@fuzz(st.tuples(journals(), st.integers(-1, 3)), examples=60)
def test_a_death_is_noted_behind_any_content(case: tuple[bytes, int], folder: Path) -> None:
    """The supervisor reads and marks what a process left that may have died in the middle of a row."""
    content, process = case
    path = folder / "journal.jsonl"
    path.write_bytes(content)
    before = Journal(path)
    at_work = before.photos_of(process)
    note_death(path, process, "SIGKILL")
    after = Journal(path)
    assert not after.photos_of(process)
    assert before.finished.keys() <= after.finished.keys()
    still = after.finished.keys() | after.at_work.keys()
    assert all(after.unfinished[name] for name in at_work.keys() - still)
