"""An option is described in one place, and from there it reaches all who take or record options."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wordmask.cli.main import make_parser
from wordmask.demo.cached_segmenter import for_class_map
from wordmask.errors import ResumeError
from wordmask.options import OPTIONS, Options
from wordmask.outputs.resume import prepare
from wordmask.outputs.run_record import RunRecord
from wordmask.outputs.store import Folder
from wordmask.report.data import Run
from wordmask.report.html import report_page
from wordmask.run.request import RunRequest, SegmenterInfo
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary
from wordmask.triton.request import Question

MANIFEST = SimpleNamespace(bundle_id="x", domain="photos", precision="fp32", models={})


def other(name):
    """An allowed value that is not the default."""
    default, info = OPTIONS[name]
    if info.choices:
        return next(value for value in info.choices if value not in (default, None))
    if info.off or isinstance(default, bool):
        return not default
    if default is None:
        return 7
    return default + 1 if isinstance(default, int) else round(1 - default / 2, 2)


@pytest.fixture(params=OPTIONS)
def name(request):
    return request.param


@pytest.fixture
def chosen(name):
    return Options(**{name: other(name)})


def requested(options, out=Path("out")):
    queries = Queries(Vocabulary.parse(["cat"]), np.zeros((0, 0), np.float32), ())
    return RunRequest([], queries, out, options)


def recorded(options):
    return requested(options).recorded_settings(SegmenterInfo(MANIFEST, True, options.upsample or "full"))


def run_record(settings):
    bundle = SegmenterInfo(MANIFEST, True, "full").bundle
    return RunRecord.of([], settings, bundle, finished=False, done_before=0, seconds=1.0)


def test_the_command_line_takes_it(name, chosen):
    value = getattr(chosen, name)
    flag = [f"--{name.replace('_', '-')}"]
    args = make_parser(["run"]).parse_args(
        ["run", "in", "--vocabulary", "cat", "--output", "out", *(flag if value is True else [*flag, str(value)])]
    )
    assert Options(**{each: getattr(args, each) for each in OPTIONS}) == chosen


def test_run_json_records_it_and_a_run_with_another_value_is_not_continued(name, chosen, tmp_path):
    before, after = recorded(Options(**{"upsample": "selective"})), recorded(chosen)
    assert after[name] == getattr(chosen, name) != before[name]
    (tmp_path / "run.json").write_bytes(run_record(before).to_bytes())
    (tmp_path / "journal.jsonl").write_text('{"name": "a", "status": "unfinished", "deaths": 1}\n')
    with pytest.raises(ResumeError, match=f"holds another run: .*{name} was "):
        prepare(Folder(tmp_path), [], {**after, "bundle": "x"}, ["semantic"])


def test_workers_on_other_machines_get_it(chosen):
    assert pickle.loads(pickle.dumps(requested(chosen))).options == chosen


def test_triton_takes_it(name, chosen):
    asked = json.dumps({name: getattr(chosen, name)}).encode()
    assert Question.parse(b"", b"cat", asked).options == chosen


def test_the_demo_keeps_class_maps_apart_by_it_only_if_they_depend_on_it(name, chosen):
    assert (for_class_map(chosen) == Options()) != OPTIONS[name][1].class_map


def test_the_report_shows_it(name, chosen):
    shown = "yes" if getattr(chosen, name) is True else getattr(chosen, name)
    assert (
        f"<li>{name.replace('_', ' ')}: {shown}</li>"
        in report_page(Run(("cat",), run_record(recorded(chosen)), ())).decode()
    )


@pytest.mark.parametrize(
    "name", [name for name, (_, info) in OPTIONS.items() if info.choices or info.least is not None]
)
def test_a_value_that_is_not_allowed_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name} is .*: it must "):
        replace(Options(), **{name: "other" if OPTIONS[name][1].choices else -1})


def test_every_field_of_the_options_is_described():
    assert list(asdict(Options())) == list(OPTIONS)
