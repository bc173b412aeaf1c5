"""The cost of many photos: the tables stand in the document, and what was not measured is marked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wordmask_bench.scale.__main__ import main, sections
from wordmask_bench.scale.bytes import Bytes, listed_bytes, measure
from wordmask_bench.scale.model import ASSUMPTIONS, GOALS, GPU_RUNS, SUSTAINED, Device, ceilings, devices, read_facts
from wordmask_bench.scale.table import BEGIN, END, amount, counted, size, table
from wordmask_bench.speed.results_table import RESULTS, renewed

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "scale.md"


@pytest.fixture(scope="module")
def facts():
    return read_facts(ROOT)


def test_the_document_holds_the_tables_of_the_committed_results(facts):
    text = DOCUMENT.read_text(encoding="utf-8")
    advice = "run: python -m wordmask_bench.scale docs/scale.md"
    assert renewed(text, "\n\n".join(sections(facts)), BEGIN, END) == text, advice


def test_the_command_renews_the_document_and_nothing_else(facts, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    document = tmp_path / "docs" / "scale.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    main([str(document)])
    text = document.read_text()
    assert text == "before\n{}\n{}\n{}\nafter\n".format(BEGIN, "\n\n".join(sections(facts)), END)


def test_a_gpu_is_called_measured_where_a_run_on_it_was(facts):
    found = devices(facts)
    runs = {run.name for run in GPU_RUNS}
    assert {device.name for device in found if device.unit == "GPU" and device.measured} == runs
    for device in found:
        rows = [
            line for text in sections(facts) for line in text.splitlines() if line.startswith(f"| {device.name} | ")
        ]
        marks = [line.split(" | ")[1] for line in rows if "measured" in line or "assumed" in line]
        assert set(marks) == {"measured" if device.measured else "**assumed**"}


def test_a_gpu_takes_what_its_run_took(facts):
    by_name = {device.name: device for device in devices(facts)}
    assert by_name[GPU_RUNS[0].name].seconds == pytest.approx(1 / 6.3619, rel=1e-4)
    assert by_name[GPU_RUNS[1].name].seconds == pytest.approx(1 / 7.6197, rel=1e-4)


def test_every_assumption_says_where_it_is_from(facts):
    listed = list(sections(facts))[-1]
    assert all(a.source and f"| {a.name} | {a.value:g} {a.unit} | {a.source} |" in listed for a in ASSUMPTIONS)


def test_a_core_takes_what_the_benchmark_measured(facts):
    report = facts.report
    for device in devices(facts):
        if device.measured and device.unit == "core":
            times = facts.photo.times[f"wordmask {device.name}"]
            assert device.seconds == pytest.approx(times.median_ms / 1000 * report.subject.threads)


def test_twice_the_rate_is_half_the_gpus(facts):
    by_name = {device.name: device for device in devices(facts)}
    first, second = (by_name[rate.name].seconds * rate.value for rate in SUSTAINED[:2])
    assert first == pytest.approx(second) == pytest.approx(facts.photo.gflop / 1000)


def test_the_hosts_part_is_what_the_study_measured(facts):
    found = json.loads((ROOT / RESULTS / "host-path.json").read_text())
    assert facts.host.pixels == 1800 * 1200
    assert facts.host.core_seconds == found["cpu_ms_per_photo"] / 1000
    assert facts.host.decoding == found["in_flight_1"]["stages_ms"]["decode"] / 1000


def test_of_a_photo_of_two_megapixels_27_megabytes_cross_the_bus(facts):
    windows, masks = 8 * 224 * 224 * 3, 32 * 256 * 256 * 4
    assert facts.moved == windows + masks + 1800 * 1200 * (3 + 1 + 4)


def test_a_fast_gpu_waits_for_its_cores(facts):
    fast, slow = (ceilings(Device("", "GPU", seconds, False), facts) for seconds in (0.001, 10.0))
    assert min(fast, key=fast.__getitem__) == "cores"
    assert min(slow, key=slow.__getitem__) == "GPU"
    assert slow["GPU"] == pytest.approx(0.1)


def test_goals_are_rates():
    million, billion = GOALS
    assert million.rate == pytest.approx(1e6 / 86400)
    assert billion.rate == pytest.approx(1e9 / 2592000)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999.4, "999 B"), (1000, "1 KB"), (1500, "1.5 KB"), (258e9, "258 GB"), (9.99e17, "999 PB")],
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0.0172, "0.0172"), (16.77, "16.8"), (24, "24"), (9024.2, "9,024"), (1e6, "1 million"), (2e9, "2 billion")],
)
def test_amounts(count, text):
    assert amount(count) == text


def test_one_is_no_plural():
    assert (counted(1, "GPU"), counted(2, "GPU")) == ("1 GPU", "2 GPUs")


def test_a_table_is_markdown():
    assert table("Bytes", ("what", "size"), [("photos", "1 KB")]).splitlines() == [
        "### Bytes",
        "",
        "| what | size |",
        "|---|---|",
        "| photos | 1 KB |",
    ]


def a_run(folder, *rows):
    """A run's folder with what is counted."""
    for kind, content in (("semantic", b"12345"), ("annotations", b"1234567")):
        (folder / kind / "deep").mkdir(parents=True)
        (folder / kind / "deep" / "a").write_bytes(content)
    (folder / "annotations.json").write_bytes(b"123")
    (folder / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_bytes_are_counted_on_a_runs_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("wordmask_bench.scale.bytes.LISTED", 10)
    row = {
        **{"photo": "a.jpg", "name": "a", "bytes": 100, "modified_ns": 1, "status": "ok", "notes": []},
        **{"height": 4, "width": 5, "instances": 3, "prompts": 3, "word_confidence": {}, "seconds": {}},
    }
    a_run(tmp_path, row, row)
    found = measure(tmp_path)
    assert found == Bytes(2, 6, 40, 200, 5, 7, (tmp_path / "journal.jsonl").stat().st_size, 3, found.listed)


def test_a_run_with_a_failed_photo_is_not_counted(tmp_path):
    a_run(tmp_path, {"status": "TRUNCATED"})
    with pytest.raises(ValueError, match="all succeeded"):
        measure(tmp_path)


def test_the_lists_memory_is_a_few_hundred_bytes_a_photo():
    assert 200 < listed_bytes(200) < 2000
