"""The benchmark's arithmetic: statistics, turns, work, agreement, reports."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper

from wordmask.errors import BundleError
from wordmask.types import Options
from wordmask_bench.machine.flops import count_flops
from wordmask_bench.machine.hardware import Machine
from wordmask_bench.machine.timing import Effort, alternate, times_of
from wordmask_bench.speed.agreement import Answers, equal_pixels, mask_ious
from wordmask_bench.speed.compute_bound import with_share
from wordmask_bench.speed.page import page, three_digits
from wordmask_bench.speed.plan import baseline_device, parse_options
from wordmask_bench.speed.report import (
    KIND,
    SCHEMA,
    Agreement,
    BenchReport,
    Measurement,
    SideFacts,
    Subject,
    Throughput,
    ratios,
    read_report,
)
from wordmask_bench.speed.results_table import BEGIN, END, committed, renewed, speed_table
from wordmask_bench.speed.results_table import main as renew
from wordmask_bench.speed.side import grid_prompts, prompts_from_json, prompts_to_json
from wordmask_bench.speed.table import table

ROOT = Path(__file__).resolve().parents[3]


def test_statistics_are_those_of_the_runs():
    times = times_of([float(value) for value in range(1, 101)])
    assert (times.runs, times.min_ms, times.mean_ms, times.median_ms, times.max_ms) == (100, 1, 50.5, 50.5, 100)
    assert (times.p90_ms, times.p95_ms, times.p99_ms) == pytest.approx((90.1, 95.05, 99.01))


def test_sides_take_turns_until_each_has_its_runs_and_its_seconds():
    calls = []

    def run(name, milliseconds):
        calls.append(name)
        return milliseconds

    contenders = {"quick": lambda: run("quick", 100.0), "slow": lambda: run("slow", 300.0)}
    times = alternate(contenders, Effort(warm_up=0.2, runs=2, seconds=0.45))
    assert calls == ["quick", "quick", "slow"] + ["quick", "slow"] * 5  # 5 x 100 ms are the first over 450
    assert (times["quick"].runs, times["slow"].runs) == (5, 5)
    assert times["slow"].mean_ms == 300


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"seconds": -1.0}, {"warm_up": -0.1}])
def test_an_effort_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="at least one run"):
        Effort(**wrong)


def test_a_ratio_is_the_baselines_median_over_the_engines():
    times = {"ours": times_of([1.0, 2.0, 9.0]), "eager": times_of([3.0, 6.0, 60.0]), "batched": times_of([1.0])}
    assert ratios(times, ["ours"]) == {"ours": {"eager": 3.0, "batched": 0.5}}
    assert ratios({"ours": times["ours"]}, ["ours", "absent"]) == {"ours": {}}


def test_the_share_of_the_limit_is_work_over_time_over_rate():
    row = with_share(measurement(), 3.0, {"wordmask cpu": 100.0, "absent": 1.0})
    assert row.share_of_limit == pytest.approx({"wordmask cpu": 3.0 / 0.1 / 100.0})
    assert with_share(measurement(), None, {"wordmask cpu": 100.0}) == measurement()


def test_work_is_counted_as_by_hand(tmp_path):
    weights = {  # of an image (B, 3, 8, 8)
        "conv": (4, 3, 3, 3),  # -> (B, 4, 6, 6): 4*6*6 outputs of 3*3*3 products
        "grouped": (4, 2, 1, 1),  # 2 groups -> (B, 4, 6, 6): 4*6*6 outputs of 2 products
        "up": (4, 5, 2, 2),  # transposed, stride 2 -> (B, 5, 12, 12): 4*6*6 inputs by 5*2*2
        "right": (12, 7),  # MatMul on (B, 5, 12, 12) -> (B, 5, 12, 7): outputs of 12 products
        "gemm": (7, 6),  # on (B*5*12, 7): B*5*12*6 outputs of 7 products
    }
    nodes = [
        helper.make_node("Conv", ["image", "conv"], ["a"]),
        helper.make_node("Conv", ["a", "grouped"], ["b"], group=2),
        helper.make_node("ConvTranspose", ["b", "up"], ["c"], strides=[2, 2]),
        helper.make_node("MatMul", ["c", "right"], ["d"]),
        helper.make_node("Reshape", ["d", "flat"], ["e"]),
        helper.make_node("Gemm", ["e", "gemm"], ["out"]),
    ]
    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape).ravel()) for name, shape in weights.items()
    ]
    tensors.append(helper.make_tensor("flat", TensorProto.INT64, [2], [-1, 7]))
    path = tmp_path / "graph.onnx"
    save(path, nodes, tensors, ["B", 3, 8, 8])
    one = 4 * 6 * 6 * 27 + 4 * 6 * 6 * 2 + 4 * 6 * 6 * 20 + 5 * 12 * 7 * 12 + 5 * 12 * 6 * 7
    assert count_flops(path, {"B": 1}) == 2 * one
    assert count_flops(path, {"B": 3}) == 6 * one
    with pytest.raises(BundleError, match="symbol 'B'"):
        count_flops(path, {})


def test_a_gemm_of_a_transposed_matrix_multiplies_along_its_rows(tmp_path):
    path = tmp_path / "gemm.onnx"
    weight = helper.make_tensor("w", TensorProto.FLOAT, (8, 5), np.zeros(40))
    save(path, [helper.make_node("Gemm", ["image", "w"], ["out"], transA=1)], [weight], [8, 3])
    assert count_flops(path, {}) == 2 * 3 * 5 * 8


def save(path, nodes, tensors, shape):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [image], [out], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))


def test_agreement_counts_equal_pixels_and_overlapping_masks():
    masks = np.zeros((3, 4, 5), np.bool_)
    masks[0, :2] = True
    masks[1, 0] = True
    other = masks.copy()
    other[0, 2:] = True
    dense = np.arange(20, dtype=np.uint16).reshape(4, 5)
    one = Answers(dense, np.packbits(masks, axis=-1))
    two = Answers(np.where(dense < 5, 99, dense).astype(np.uint16), np.packbits(other, axis=-1))
    assert equal_pixels(one, two) == 0.75
    assert mask_ious(one, two).tolist() == [0.5, 1.0, 1.0]  # the last are both empty


@pytest.mark.parametrize("count", [1, 2, 32, 100])
def test_the_grid_has_so_many_different_points_inside_the_photo(count):
    prompts = grid_prompts((30, 200), count, 3)
    points = np.concatenate([prompt.points for prompt in prompts])
    assert points.shape == (count, 2)
    assert len(np.unique(points, axis=0)) == count
    assert (points > 0).all()
    assert (points < [199, 29]).all()
    assert [prompt.class_index for prompt in prompts] == [i % 3 for i in range(count)]


def test_the_grid_covers_the_photo_evenly():
    points = np.concatenate([prompt.points for prompt in grid_prompts((400, 400), 64, 1)])
    quarters = (points > 200) @ [1, 2]
    assert np.bincount(quarters, minlength=4).min() >= 14  # of 64: 16 each at best


def test_prompts_travel_without_loss():
    prompts = grid_prompts((37, 91), 7, 2)
    back = prompts_from_json(json.loads(json.dumps(prompts_to_json(prompts))))
    for one, other in zip(prompts, back, strict=True):
        assert (one.points == other.points).all()
        assert other.points.dtype == np.float32
        assert other.labels.dtype == np.int32
        assert (one.class_index, one.confidence, one.region_size) == (
            other.class_index,
            other.confidence,
            other.region_size,
        )


def test_options_are_read_by_name_and_kind():
    assert parse_options(["min_confidence=0.5", "boxes=true", "use_loftup=null"]) == Options(
        min_confidence=0.5, boxes=True
    )
    with pytest.raises(ValueError, match=r"options\.boxs is not a field.*there are .*boxes"):
        parse_options(["boxs=true"])
    with pytest.raises(ValueError, match=r"options\.min_region_size is .*'big'"):
        parse_options(["min_region_size=big"])
    with pytest.raises(ValueError, match="expected NAME=VALUE"):
        parse_options(["boxes"])


def test_pytorch_runs_where_the_devices_do():
    assert baseline_device(["cpu", "openvino:bf16"]) == "cpu"
    assert baseline_device(["cuda:1", "tensorrt:1"]) == "cuda:1"
    with pytest.raises(ValueError, match="one at a time"):
        baseline_device(["cpu", "cuda"])


HOSTILE = '<script>alert(\'&"x")</script>.jpg'


def measurement() -> Measurement:
    times = {"wordmask cpu": times_of([90.0, 100.0, 130.0]), "eager": times_of([250.0]), "compile": times_of([200.0])}
    return Measurement("photo", HOSTILE, 1, 4, times, ratios(times, ["wordmask cpu"]))


def report() -> BenchReport:
    cold = {"start": 0.1, "import": 0.2, "load": 0.3, "first_photo": 0.4, "total": 1.0}
    machine = Machine("AMD <b>EPYC", 2, 16.0, "Linux", "3.12.1", "", {"numpy": "2.1"})
    side = SideFacts("wordmask cpu", "wordmask", "cpu", "fp32", cold, 512.0)
    baselines = (replace(side, name=name, variant=name, peak_mb=2048.0) for name in ("eager", "compile"))
    agreement = [
        Agreement("wordmask cpu", name, HOSTILE, 1, 4, 0.9987, 3, 0.99951, 0.98762) for name in ("eager", "compile")
    ]
    return BenchReport(
        schema=SCHEMA,
        kind=KIND,
        date="2026-01-31",
        subject=Subject("abc", "random", "fp32", {"clip": "ViT"}, 2, 9, "grid", {"boxes": True}, 2),
        machine=machine,
        effort=Effort(0.2, 3, 3.0),
        rates={"fp32": 100.0},
        sides=(side, *baselines),
        measurements=(with_share(measurement(), 3.0, {"wordmask cpu": 100.0}),),
        throughput=(Throughput(2, 6, {"wordmask cpu": 2.0, "eager": 1.0, "compile": 1.0}),),
        agreement=tuple(agreement),
    )


def test_a_report_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(report().to_json(), encoding="utf-8")
    assert read_report(path) == report()


@pytest.mark.parametrize(
    ("change", "why"),
    [({"kind": "other"}, "expected kind"), ({"schema": 2}, "schema 1"), ({"rates": {"fp32": "fast"}}, "rates.fp32")],
)
def test_another_file_is_no_report(tmp_path, change, why):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({**json.loads(report().to_json()), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"bench\.json: .*{why}"):
        read_report(path)


def test_the_table_shows_the_ratio_beside_its_cost():
    text = table(report())
    assert "| 100.0 (127.0) 30% | 250.0 (250.0) 2.50x | 200.0 (200.0) 2.00x |" in text
    assert "class map 99.87% of pixels equal (3 classes in it), mask IoU mean 0.9995, worst 0.9876 of 4" in text
    assert "random: times hold, masks mean nothing" in text


class Tags(HTMLParser):
    """The names of a page's elements, its attributes and its words."""

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_runs_nothing_fetches_nothing_and_escapes_every_word():
    text = page(report()).decode()
    found = Tags(text)
    assert not {"script", "b>epyc", "link", "img", "iframe"} & set(found.names)
    (policy,) = (value for name, value in found.attributes if name == "content" and value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "unsafe" not in policy
    assert not {"src", "href", "onload", "style"} & {name for name, _ in found.attributes}
    words = "".join(found.words)
    assert HOSTILE in words
    assert "AMD <b>EPYC" in words
    assert "url(" not in text


def test_bars_are_as_long_as_their_times():
    widths = [value for name, value in Tags(page(report()).decode()).attributes if name == "width"][:3]
    assert widths == ["40.00%", "100.00%", "80.00%"]


def test_the_page_gives_seconds_with_three_digits():
    shown = "".join(Tags(page(report()).decode()).words)
    assert "0.100 s" in shown
    assert "0.250 s" in shown
    assert " ms" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (11.871, "11.9"),
        (0.5324, "0.532"),
        (0.0012, "0.00120"),
        (0.9996, "1.00"),
        (100, "100"),
        (4321.4, "4,321"),
        (0, "0.00"),
    ],
)
def test_three_digits_are_three(value, shown):
    assert three_digits(value) == shown


def test_the_table_has_eager_and_the_fastest_other_form():
    row = next(line for line in speed_table([report()]).splitlines() if "alert" in line)
    assert row.endswith("| 1, 4 | cpu | 0.10 | 0.25 (2.50x) | compile: 0.20 (2.00x) | 99.87% | 0.9995, 0.9876 |")
    assert "with random weights" in speed_table([report()])


def test_a_page_is_renewed_between_its_markers_alone():
    assert renewed(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(ValueError, match="once each"):
        renewed(f"a {END} {BEGIN}", "new")


def test_the_page_is_up_to_date_with_the_committed_figures():
    page = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    assert renewed(page, speed_table(committed(ROOT))) == page, (
        "run: python -m wordmask_bench.speed.results_table docs/bench.md"
    )


def test_the_command_renews_the_page_and_nothing_else(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    found = tmp_path / "docs" / "bench.md"
    found.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    renew([str(found)])
    assert found.read_text() == f"before\n{BEGIN}\n{speed_table(committed(ROOT))}\n{END}\nafter\n"
