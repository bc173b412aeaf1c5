"""gpu_check.json and gpu_check.md: what the check on a GPU has found so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from wordmask_bench.gpu_check.goals import goals
from wordmask_bench.machine.markdown import markdown_table

JSON, MARKDOWN = "gpu_check.json", "gpu_check.md"
SCHEMA = 1
STAGE_COLUMNS = ("engine", "pytorch_fp32", "pytorch_autocast")


@dataclass(frozen=True)
class Outcome:
    """A step's end.

    Attributes:
        status: skipped steps could not be done on this machine; that is no failure.
        seconds: it took.
        why: of a failure the last lines, of a skipped step the reason.
        result: its figures by name, also those that a failed step had got to.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    seconds: float
    why: str = ""
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckReport:
    """All of a check.

    Attributes:
        options: of the command line.
        outcomes: in the order the steps ended.
        waiting: names of the steps that have not been started.
        finished: False while the check runs, or if it was broken off.
    """

    options: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    waiting: tuple[str, ...]
    finished: bool

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return any(outcome.status == "failed" for outcome in self.outcomes)


def write_report(folder: Path, report: CheckReport) -> None:
    """Writes both files, each whole."""
    save_json(folder / JSON, {"schema": SCHEMA, **asdict(report)})
    save_text(folder / MARKDOWN, markdown(report))


def read_outcomes(folder: Path) -> tuple[Outcome, ...]:
    """The outcomes of an earlier check in this folder; none if there was none."""
    path = folder / JSON
    if not path.is_file():
        return ()
    return tuple(Outcome(**row) for row in json.loads(path.read_text(encoding="utf-8"))["outcomes"])


def save_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one."""
    save_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def save_text(path: Path, text: str) -> None:
    """Likewise, of text."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def errors_in(result: Any, where: str = "") -> Iterator[str]:
    """What went wrong with single figures, and with which."""
    if not isinstance(result, Mapping):
        return
    for key, value in result.items():
        if key == "error":
            yield f"{where}: {value}"
        else:
            yield from errors_in(value, f"{where} {key}".strip())


def markdown(report: CheckReport) -> str:
    """The report for people."""
    steps = [(o.name, o.status, f"{o.seconds:.1f}", _one_line(o.why)) for o in report.outcomes]
    table = markdown_table(("step", "status", "seconds", ""), steps)
    lines = ["# Check on a GPU", "", *_head(report), "", *table, "", *_goals(report)]
    if report.waiting:
        named = ", ".join(report.waiting)
        lines += ["", f"Not started{' for lack of time' if report.finished else ' yet'}: {named}"]
    for outcome in report.outcomes:
        if outcome.result:
            lines += ["", f"## {outcome.name}", "", *_figures(outcome.result)]
    return "\n".join(lines) + "\n"


def _goals(report: CheckReport) -> list[str]:
    """What the check is to show, as a table; nothing where CUDA was not checked."""
    results = {outcome.name: outcome.result for outcome in report.outcomes}
    if not any(name.endswith("-cuda") for name in results):
        return []
    rows = [
        (goal.name, f"{goal.least:g}", "" if goal.found is None else f"{goal.found:.4g}", goal.reached)
        for goal in goals(results)
    ]
    return [*markdown_table(("goal", "at least", "measured", "reached"), rows), ""]


def _head(report: CheckReport) -> list[str]:
    facts = next((outcome.result for outcome in report.outcomes if outcome.name == "facts"), {})
    torch = facts.get("torch") or {}
    gpu = torch.get("gpu") or "no GPU"
    state = "finished" if report.finished else "still running, or broken off"
    return [f"{gpu}; {state}. Ratios above 1 mean that the engine is faster than PyTorch."]


def _figures(result: Mapping[str, Any]) -> list[str]:
    """Times as a table; all else a line a figure."""
    times = {name: value for name, value in result.items() if name.startswith("times.") and "engine" in value}
    lines = [f"- {name}: {_show(value)}" for name, value in result.items() if name not in times]
    if times:
        lines += ["", *_times(times)]
    return lines


def _times(times: Mapping[str, Mapping[str, Any]]) -> list[str]:
    head = ("stage, rows", *(f"{name} ms (p95)" for name in STAGE_COLUMNS), "fp32 / engine", "autocast / engine")
    rows = [
        (
            name.removeprefix("times."),
            *(f"{row[side]['median_ms']:.2f} ({row[side]['p95_ms']:.2f})" for side in STAGE_COLUMNS),
            *(f"{row[f'{side}_over_engine']:.2f}" for side in STAGE_COLUMNS[1:]),
        )
        for name, row in times.items()
    ]
    lines = markdown_table(head, rows)
    notes = [f"- {name} {key}: {_show(row[key])}" for name, row in times.items() for key in row if _is_note(key)]
    return [*lines, "", *notes] if notes else lines


def _is_note(key: str) -> bool:
    return key not in STAGE_COLUMNS and not key.endswith("_over_engine")


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_show(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_show, value))
    return _one_line(str(value))


def _one_line(text: str) -> str:
    return " ".join(text.split())
