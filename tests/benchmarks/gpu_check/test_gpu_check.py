"""The check on a GPU, tried on the CPU: its report, its order, and that one step's end never ends the others."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from forked_steps import forking
from wordmask.bundle.opening import open_bundle
from wordmask_bench.gpu_check import __main__ as gpu_check
from wordmask_bench.gpu_check import step_process
from wordmask_bench.gpu_check.cases import compare, load_cases, make_cases, save_cases
from wordmask_bench.gpu_check.chain import agreement
from wordmask_bench.gpu_check.full_bundles import make_full
from wordmask_bench.gpu_check.photo import photo_device
from wordmask_bench.gpu_check.plan import VARIANTS, may_refuse, plan, unavailable
from wordmask_bench.gpu_check.report import CheckReport, Outcome, errors_in, markdown, read_outcomes, write_report
from wordmask_bench.gpu_check.skeleton import pack
from wordmask_bench.machine.timing import Effort, measure
from wordmask_bench.torch_baseline.case import Case

pytestmark = pytest.mark.rehearsal

H200 = {
    "torch": {"gpu": "H200", "capability": "9.0"},
    "onnxruntime": {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]},
    "modules": {"tensorrt": True, "cuda.bindings": True, "onnxruntime_ep_nv_tensorrt_rtx": True},
    "tensorrt": {"version": "11.4", "rtx": True},
}


@pytest.fixture(scope="module")
def options(small_bundle: Path, data: Path, examples: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a short check of the small bundle on the CPU."""
    photo = tmp_path_factory.mktemp("photo") / "small.png"
    with Image.open(examples / "chelsea.jpg") as whole:
        whole.resize((120, 96)).save(photo)
    models = ["--clip", str(data / "small_clip.json"), "--sam2", str(data / "small_sam2.yaml")]
    bundles = ["--bundle", str(small_bundle), "--full", str(small_bundle)]
    return [
        "--device",
        "cpu",
        "--scenes",
        "1",
        "--runs",
        "1",
        "--warm-up",
        "0",
        "--photos",
        "2",
        "--max-prompts",
        "4",
        "--minutes",
        "30",
        *models,
        *bundles,
        "--photo",
        str(photo),
    ]


@pytest.fixture(scope="module")
def checked(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Exit status and folder of a whole check; its steps' processes are forked, those of the tests below are not."""
    out = tmp_path_factory.mktemp("check")
    environment = {
        "OMP_NUM_THREADS": "1",  # torch's threads wait for each other where tests share the cores
        "TORCHDYNAMO_DISABLE": "1",  # the compiler takes a minute: it has a test of its own below
    }
    with forking(environment) as start, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_check, "start", start)
        return gpu_check.main(["--out", str(out), *options]), out


def test_the_whole_check_runs_on_the_cpu_and_reports_every_step(checked: tuple[int, Path]) -> None:
    status, out = checked
    report = json.loads((out / "gpu_check.json").read_text())
    ended = {row["name"]: row["status"] for row in report["outcomes"]}
    names = ("facts", "tiny-reference", "tiny-cpu", "full-reference", "photo-cpu", "folder-cpu", "full-cpu",
             "compile-cpu")  # fmt: skip
    assert ended == dict.fromkeys(names, "ok"), [row["why"] for row in report["outcomes"]]
    assert status == 0
    assert report["finished"] is True
    assert not report["waiting"]


def test_the_engine_agrees_with_the_cpu_exactly_and_with_pytorch_closely(checked: tuple[int, Path]) -> None:
    result = {outcome.name: outcome.result for outcome in read_outcomes(checked[1])}["full-cpu"]
    for stage in ("clip_image", "clip_text", "loftup", "sam2_encoder", "sam2_decoder"):
        against_cpu = result[f"against_cpu.{stage}"]
        assert against_cpu["rows"] < 1e-4  # another batch size takes other kernels
        limit = 5e-3 if stage == "loftup" else 1e-4  # the published LoftUp takes sines of 22026 rad in fp32
        assert max(result[f"against_pytorch.{stage}"].values()) < limit


def test_a_whole_photo_is_timed_against_every_form_of_pytorch_and_agrees_with_it(checked: tuple[int, Path]) -> None:
    results = {outcome.name: outcome.result for outcome in read_outcomes(checked[1])}
    result = results["photo-cpu"]
    assert set(result["times"]["median_ms"]) == {"fp32", "fp16", "eager", "autocast"}
    assert set(results["compile-cpu"]["times"]["median_ms"]) == {"fp32", "fp16", "compile"}
    medians = result["times"]["median_ms"]
    assert result["times"]["ratios"]["fp16"]["autocast"] == medians["autocast"] / medians["fp16"]
    assert {"clip", "loftup", "class_map", "sam2_encoder", "masks"} <= set(result["stages_ms"]["fp32"])
    assert result["agreement.fp32"]["class_map"] > 0.999
    assert result["agreement.fp32"]["mask_iou_worst"] > 0.998
    assert result["agreement.fp16"]["class_map"] > 0.9


@pytest.mark.soak
def test_every_model_is_compiled(options: list[str], tmp_path: Path) -> None:
    """By torch's compiler, which is off in the whole check above."""
    assert gpu_check.main(["--out", str(tmp_path), *options, "--only", "compile-cpu"]) == 0
    found = {outcome.name: outcome for outcome in read_outcomes(tmp_path)}["compile-cpu"]
    assert found.status == "ok"
    assert set(found.result["times"]["median_ms"]) == {"fp32", "compile"}


def test_a_folder_is_timed_in_both_precisions(checked: tuple[int, Path]) -> None:
    result = {outcome.name: outcome.result for outcome in read_outcomes(checked[1])}["folder-cpu"]
    for precision in ("fp32", "fp16"):
        assert all(result[f"{precision}.in_flight.{count}"]["photos_per_second"] > 0 for count in (1, 2, 4, 8))


def test_the_report_says_which_goals_are_reached() -> None:
    outcomes = (
        Outcome("tiny-cuda", "ok", 1.0, result={"chain_against_cpu": {"class_map": 1.0}}),
        Outcome("photo-cuda", "ok", 1.0, result={"times": {"ratios": {"fp32": {"eager": 4.5, "autocast": 1.5}}}}),
    )
    text = markdown(CheckReport({}, outcomes, (), finished=True))
    assert "| photo: times as fast as PyTorch eager in fp32 | 4 | 4.5 | yes |" in text
    assert "| photo: times as fast as PyTorch under autocast | 2 | 1.5 | no |" in text
    assert "| folder: photos a second | 25 |  | not measured |" in text
    assert "| tiny: share of the class map equal to the CPU's, fp32 | 0.999 | 1 | yes |" in text


def test_a_skeletons_bundle_is_filled_and_not_compared_with_pytorch(
    options: list[str], small_bundle: Path, tmp_path: Path
) -> None:
    pack(small_bundle, tmp_path / "skeleton")
    arguments = ["--out", str(tmp_path / "check"), *options, "--full", str(tmp_path / "skeleton")]
    settings = gpu_check.settings_of(gpu_check.parse_args(arguments))
    make_full(settings)
    result = dict(photo_device(settings, VARIANTS["cpu"]))
    assert set(result["times"]["median_ms"]) == {"fp32", "eager", "autocast"}
    assert not any(name.startswith("agreement") for name in result)


def test_times_of_every_side_stand_in_the_report(checked: tuple[int, Path]) -> None:
    result = {outcome.name: outcome.result for outcome in read_outcomes(checked[1])}["full-cpu"]
    rows = [f"times.{name}" for name in ("loftup.8", "loftup.1", "sam2_decoder.32", "clip_image.8")]
    for name in rows:
        row = result[name]
        assert row["pytorch_fp32_over_engine"] == row["pytorch_fp32"]["median_ms"] / row["engine"]["median_ms"]
        assert row["pytorch_autocast"]["runs"] == 1
    text = (checked[1] / "gpu_check.md").read_text()
    assert all(f"| {name.removeprefix('times.')} |" in text for name in rows)


def test_resume_repeats_nothing_that_went_well(checked: tuple[int, Path], options: list[str], capsys) -> None:
    out = checked[1]
    before = read_outcomes(out)
    assert gpu_check.main(["--out", str(out), "--resume", *options]) == 0
    assert capsys.readouterr().out == ""
    assert read_outcomes(out) == before


def test_a_step_without_what_it_needs_fails_alone_and_says_so(
    checked: tuple[int, Path], options: list[str], tmp_path: Path
) -> None:
    known = read_outcomes(checked[1])[:1]
    write_report(tmp_path, CheckReport({}, known, ("tiny-cpu",), finished=False))
    assert gpu_check.main(["--out", str(tmp_path), *options, "--resume", "--only", "tiny-cpu"]) == 1
    facts, tiny = read_outcomes(tmp_path)
    assert (facts.name, facts.status, tiny.status) == ("facts", "ok", "failed")
    assert "the step tiny-reference has not been done" in tiny.why


def test_without_time_nothing_is_started(options: list[str], tmp_path: Path) -> None:
    assert gpu_check.main(["--out", str(tmp_path), *options, "--minutes", "0.1"]) == 0
    assert read_outcomes(tmp_path) == ()
    assert "Not started for lack of time: facts, tiny-reference" in (tmp_path / "gpu_check.md").read_text()


def test_a_native_crash_keeps_the_figures_before_it(options: list[str], tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "tensorrt.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    arguments = ["--out", str(tmp_path), *options]
    outcome = step_process.finish(
        step_process.start("facts", arguments, tmp_path, 120, hide_gpu=False), time.monotonic() + 120
    )
    assert outcome.status == "failed"
    assert outcome.why.startswith("ended by SIGABRT")
    assert outcome.result["torch"]["version"]


def test_a_step_that_hangs_is_stopped(options: list[str], tmp_path: Path) -> None:
    running = step_process.start("facts", ["--out", str(tmp_path), *options], tmp_path, 0.2, hide_gpu=False)
    outcome = step_process.finish(running, time.monotonic() + 60)
    assert outcome.status == "failed"
    assert outcome.why.startswith("stopped after")
    assert running.process.returncode is not None


def test_the_most_telling_steps_come_first() -> None:
    names = [step.name for step in plan(("tensorrt-rtx", "tensorrt-fp16", "cuda"), None)]
    assert names == [
        "facts",
        "tiny-reference",
        *(f"tiny-{device}" for device in ("cuda", "tensorrt-fp16", "tensorrt-rtx")),
        "full-reference",
        *(f"photo-{device}" for device in ("cuda", "tensorrt-fp16", "tensorrt-rtx")),
        *(f"folder-{device}" for device in ("cuda", "tensorrt-fp16", "tensorrt-rtx")),
        *(f"full-{device}" for device in ("cuda", "tensorrt-fp16", "tensorrt-rtx")),
        *(f"compile-{device}" for device in ("cuda", "tensorrt-fp16", "tensorrt-rtx")),
        "options-cuda",
    ]
    assert [step.name for step in plan(("cuda",), ["full-*"])] == ["facts", "full-reference", "full-cuda"]


def test_what_a_machine_cannot_do_is_skipped_with_the_reason() -> None:
    assert all(unavailable(variant, H200) is None for variant in VARIANTS.values())
    assert unavailable(VARIANTS["cuda"], {**H200, "torch": {"gpu": None}}) == "torch sees no GPU"
    assert "onnxruntime-gpu" in str(unavailable(VARIANTS["cuda"], {**H200, "onnxruntime": {"providers": []}}))
    without = {**H200, "modules": {"cuda.bindings": True}}
    assert unavailable(VARIANTS["tensorrt-fp16"], without) == "not installed: tensorrt"
    assert unavailable(VARIANTS["cpu"], {}) is None


def test_only_tensorrt_rtx_may_refuse_and_only_a_gpu_it_is_not_made_for() -> None:
    ada = {**H200, "torch": {"gpu": "RTX 4090", "capability": "8.9"}}
    genuine = {**H200, "tensorrt": {"version": "11.4", "rtx": False}}
    assert may_refuse(VARIANTS["tensorrt-rtx"], H200)
    assert may_refuse(VARIANTS["tensorrt-fp16"], H200)  # RTX under the name of TensorRT
    assert not may_refuse(VARIANTS["tensorrt-fp16"], genuine)
    assert not may_refuse(VARIANTS["tensorrt-rtx"], ada)
    assert not may_refuse(VARIANTS["cuda"], H200)


def test_a_refusal_is_a_skip_with_its_message(tmp_path: Path, small_bundle: Path, monkeypatch) -> None:
    from wordmask.errors import DeviceError

    def refusing(settings, variant):
        yield "engines", None
        raise DeviceError("no such GPU that it supports")

    monkeypatch.setattr(gpu_check, "tiny_device", refusing)
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "facts.json").write_text(json.dumps(H200))
    assert gpu_check.main(["--out", str(tmp_path), "--step", "tiny-tensorrt-rtx"]) == step_process.SKIPPED
    left = json.loads((steps / "tiny-tensorrt-rtx.json").read_text())
    assert left["skipped"] == "refused: no such GPU that it supports"
    with pytest.raises(DeviceError):
        gpu_check.main(["--out", str(tmp_path), "--step", "tiny-cuda"])


class Wrong:
    """A graph that mixes the rows of a batch."""

    preferred_batch_size = None

    def __init__(self, expected):
        self.expected = expected

    def run(self, inputs, keep=()):
        count = len(inputs["image"])
        return {"features": np.roll(self.expected[:count], 1, axis=0)}

    def cancel(self):
        pass


def test_mixed_rows_show_and_fail() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((8, 4, 2, 2)).astype(np.float32)
    case = Case({"image": np.zeros((8, 32, 32, 3), np.uint8)}, {"features": features}, ("image",))
    figures = compare("clip_image", Wrong(features), case)
    assert figures["features"] > 1  # unrelated rows: about the square root of two
    assert figures["rows"] > 1


def test_cases_survive_the_file(mask_prompt_bundle: Path, examples: Path, tmp_path: Path) -> None:
    from wordmask.photo.reading import decode

    bundle = open_bundle(mask_prompt_bundle)
    photos = [decode(examples / name) for name in ("chelsea.jpg", "coffee.jpg")]
    cases = make_cases(bundle, photos, ["cat", "cup"], lambda text: None)
    save_cases(tmp_path / "cases.npz", cases)
    stored = load_cases(tmp_path / "cases.npz", bundle)
    assert list(stored) == list(cases)
    assert set(cases) == set(bundle.manifest.graphs) - {"loftup_cpu", "loftup_features"}
    for name, case in cases.items():
        assert stored[name].batched == case.batched
        for key, value in (case.inputs | case.expected).items():
            np.testing.assert_array_equal((stored[name].inputs | stored[name].expected)[key], value)
    assert cases["sam2_decoder"].take(3).inputs["image_embed"].shape[0] == 1  # belongs to all prompts
    assert cases["sam2_decoder"].take(3).rows == 3


def test_agreement_counts_pixels_and_words() -> None:
    masks = np.zeros((4, 4), np.uint8)
    masks[:2] = 7
    same = {"dense/1": masks, "masks/1": masks}
    assert agreement(same, same) == {"class_map": 1.0, "mask_iou": 1.0, "worst_class_map": 1.0}
    half = {"dense/1": masks, "masks/1": np.where(np.arange(4) < 2, masks, 0).astype(np.uint8)}
    found = agreement(half, same)
    assert found["mask_iou"] == 0.5
    assert "error" in found


def test_contenders_take_turns_and_the_median_is_theirs() -> None:
    calls: list[str] = []

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    times = measure(
        {"quick": lambda: run("quick", 0.002), "slow": lambda: run("slow", 0.02)}, Effort(0.0, 3), cuda=False
    )
    assert calls == ["quick", "slow"] * 3
    assert times["slow"].median_ms >= 20 > times["quick"].median_ms >= 2
    assert times["slow"].p95_ms >= times["slow"].median_ms


def test_a_figure_with_an_error_is_found_wherever_it_stands() -> None:
    result = {"a": 1.0, "b": {"c": {"error": "no"}, "d": 2}}
    assert list(errors_in(result)) == ["b c: no"]
    assert list(errors_in({"a": {"b": 1.0}})) == []


def test_the_report_is_whole_and_can_be_read_back(tmp_path: Path) -> None:
    outcomes = (
        Outcome("facts", "ok", 1.0, result={"torch": {"gpu": "H200"}}),
        Outcome("tiny-cuda", "failed", 2.0, "line one\nline | two", {"quality": {"masks_miou": 0.5}}),
    )
    report = CheckReport({"minutes": 8.0}, outcomes, ("full-cuda",), finished=True)
    write_report(tmp_path, report)
    assert read_outcomes(tmp_path) == outcomes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu_check.json", "gpu_check.md"]
    text = markdown(report)
    assert "| tiny-cuda | failed | 2.0 | line one line \\| two |" in text
    assert "- quality: masks_miou 0.5" in text
    assert "Not started for lack of time: full-cuda" in text
    assert report.failed
