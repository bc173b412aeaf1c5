"""Building engines against a fake TensorRT: what it is asked for, how the cache is kept, how failures read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wordmask.bundle.engines import FOLDER, PLAN, Target, find_engine, read_plan, sidecars
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.cli.main import main
from wordmask.errors import BundleError, DeviceError, EngineError

onnx = pytest.importorskip("onnx")
pytest.importorskip("fcntl")

import fake_tensorrt_builder as fake_tensorrt  # noqa: E402
from wordmask_export.tensorrt import cache  # noqa: E402
from wordmask_export.tensorrt.api import EngineBuildError  # noqa: E402
from wordmask_export.tensorrt.build import Choice, build_engines  # noqa: E402

Fake = fake_tensorrt.Fake

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"
USED = ["clip_image", "clip_text", "loftup", "sam2_encoder", "sam2_decoder", "sam2_mask_decoder"]
TIMEOUT = 60


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(TINY, tmp_path / "bundle", ignore=shutil.ignore_patterns(FOLDER))


@pytest.fixture(autouse=True)
def typed(monkeypatch):
    """Which graphs were typed; retyping itself has tests of its own."""
    asked = []

    def same(model, graph, precision):
        asked.append((graph, precision))
        return model

    monkeypatch.setattr("wordmask_export.precision.policy.typed", same)
    return asked


@pytest.fixture
def fake(monkeypatch):
    return Fake().install(monkeypatch)


def build(bundle, *, said=None, **choice):
    lines = [] if said is None else said
    return build_engines(bundle, Choice(**choice), report=lines.append)


def here(fake):
    return Target(fake.version, "sm_90")


def names(bundle):
    """What stands in the cache, temporary folders included."""
    return sorted(path.name for path in (bundle / FOLDER).iterdir() if path.name != ".lock")


NO_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "open_clip", "sam2")))
import wordmask_export.tensorrt.build, wordmask_export.tensorrt.debug, wordmask_export.tensorrt.compare
import wordmask_export.precision.policy
"""


def test_engines_are_built_without_torch():
    done = subprocess.run([sys.executable, "-c", NO_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# what TensorRT is asked for


@pytest.mark.parametrize(("version", "flags"), [("10.13.0.35", 2), ("11.4.0.106", 0)])
def test_networks_are_strongly_typed_by_flag_before_11(bundle, monkeypatch, typed, version, flags):
    fake = Fake(version=version).install(monkeypatch)
    built = build(bundle, precision="fp16", workspace=1 << 30)
    assert [one.sidecar.request.graph for one in built] == USED
    assert typed == [(graph, "fp16") for graph in USED]
    for record in fake.builds:
        assert record["flags"] == flags
        assert record["cleared"] == ["TF32"]
        assert record["pool"] == {"WORKSPACE": 1 << 30}
    entry = read_manifest(bundle).graphs["loftup"]
    folder, sidecar = find_engine(bundle, "loftup", entry, "fp16", Target(version, "sm_90"))
    assert len(read_plan(folder, sidecar)) == sidecar.plan.size
    assert (sidecar.gpu, sidecar.layers) == ("Fake GPU", {"HALF": 1, "FLOAT": 1})
    assert (folder / "build.log").read_text() == "info: building\n"


def test_every_dynamic_input_gets_the_shapes_of_its_symbols(bundle, fake):
    build(bundle, max_batch=4)
    small, _, large = fake.builds[USED.index("loftup")]["profiles"]  # 1, 2 and 4 windows
    assert small["text"] == ((1, 48), (32, 48), (512, 48))
    assert small["guidance"] == ((1, 36, 36, 3), (1, 132, 132, 3), (1, 132, 132, 3))
    assert large["features"] == ((4, 48, 8, 8),) * 3
    assert large["key_table"] == ((64, 40),) * 3
    decoder = fake.builds[USED.index("sam2_decoder")]["profiles"]
    assert len(decoder) == 4
    assert decoder[1] == {
        "point_coords": ((16, 1, 2), (16, 1, 2), (16, 16, 2)),
        "point_labels": ((16, 1), (16, 1), (16, 16)),
    }


def test_graphs_that_the_runtime_does_not_load_are_left_out_unless_asked_for(bundle, fake):
    assert "loftup_features" not in [one.sidecar.request.graph for one in build(bundle)]
    assert "loftup_features" in [one.sidecar.request.graph for one in build(bundle, features=True)]


def test_the_engine_is_built_for_the_gpu_that_was_named(bundle, monkeypatch):
    Fake(gpus=((8, 9), (9, 0))).install(monkeypatch)
    assert build(bundle, gpu=1)[0].sidecar.request.target.architecture == "sm_90"
    assert build(bundle, gpu=0)[0].sidecar.request.target.architecture == "sm_89"


def test_timings_of_one_build_serve_the_next(bundle, fake):
    build(bundle)
    assert fake.builds[0]["timing"] == b""
    assert [record["timing"] for record in fake.builds[1:]] == [
        f"{fake.version} {n}".encode() for n in range(1, len(USED))
    ]


@pytest.mark.parametrize("why", ["another version's", "open to others"])
def test_timings_that_do_not_fit_or_cannot_be_trusted_are_left_aside(bundle, fake, why):
    build(bundle, max_batch=2)
    path = bundle / FOLDER / "timing.cache"
    if why == "open to others":
        path.chmod(0o666)
    else:
        path.write_bytes(b"9.0.0 timings")
    build(bundle, max_batch=4)
    assert fake.builds[len(USED)]["timing"] == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# what is kept, built again and removed


def test_what_is_up_to_date_is_kept(bundle, fake):
    first = build(bundle)
    second = build(bundle)
    assert len(fake.builds) == len(USED)
    assert [one.folder for one in first] == [one.folder for one in second]
    assert all(one.kept for one in second)


@pytest.mark.parametrize("damage", ["plan", "sidecar", "mode", "missing"])
def test_an_engine_that_could_not_be_used_is_built_again(bundle, fake, damage):
    folder = build(bundle)[0].folder
    if damage == "plan":
        (folder / PLAN).write_bytes(b"x")
    elif damage == "sidecar":
        (folder / "engine.json").write_text("{}")
    elif damage == "mode":
        (folder / PLAN).chmod(0o666)
    else:
        (folder / PLAN).unlink()
    again = build(bundle)
    assert [one.kept for one in again] == [False] + [True] * (len(USED) - 1)
    assert read_plan(again[0].folder, again[0].sidecar)


def test_an_engine_that_tensorrt_refuses_is_built_again_once(bundle, monkeypatch):
    build_with = Fake().install(monkeypatch)
    build(bundle)
    assert len(build_with.builds) == len(USED)
    said, updated = [], Fake().install(monkeypatch)  # the same version, which does not take what the other built
    assert [one.kept for one in build(bundle, said=said)] == [False] * len(USED)
    assert any(
        "loftup: is built again, once (loftup.onnx: TensorRT 11.4.0.106 refuses the plan" in line for line in said
    )
    assert all(one.kept for one in build(bundle))
    assert len(updated.builds) == len(USED)


def test_a_gpu_that_refuses_what_was_built_anew_is_an_error(bundle, monkeypatch):
    Fake().install(monkeypatch)
    build(bundle)
    broken = Fake(load_error="Version tag does not match").install(monkeypatch)
    with pytest.raises(EngineBuildError, match=r"refuses the plan.*Version tag does not match"):
        build(bundle)
    assert len(broken.builds) == 1


def test_other_sizes_replace_the_engine_so_that_one_is_found(bundle, fake):
    build(bundle, max_batch=2)
    said = []
    build(bundle, max_batch=4, said=said)
    found = [sidecar.request for _, sidecar in sidecars(bundle) if sidecar.request.graph == "clip_image"]
    assert [request.profiles[-1]["B"].maximum for request in found] == [4]
    assert sum("which this replaces" in line for line in said) == 2  # CLIP and LoftUp: others have no windows


def test_another_precision_has_engines_beside(bundle, fake):
    build(bundle, precision="fp16")
    build(bundle, precision="fp32")
    assert len(list(sidecars(bundle))) == 2 * len(USED)


@pytest.mark.parametrize(("prune", "left"), [(False, {"10.13.0", "11.4.0"}), (True, {"11.4.0"})])
def test_engines_of_another_tensorrt_stay_unless_pruned(bundle, monkeypatch, prune, left):
    for version in ("10.13.0", "11.4.0"):
        Fake(version=version).install(monkeypatch)
        build(bundle, prune=prune)
    assert {sidecar.request.target.tensorrt for _, sidecar in sidecars(bundle)} == left


def test_engines_of_another_gpu_stay(bundle, monkeypatch):
    for gpu in ((8, 9), (9, 0)):
        Fake(gpus=(gpu,)).install(monkeypatch)
        build(bundle, prune=True)
    assert {sidecar.request.target.architecture for _, sidecar in sidecars(bundle)} == {"sm_89", "sm_90"}


def test_engines_of_a_graph_that_is_no_more_are_removed(bundle, fake, monkeypatch):
    build(bundle)
    manifest = read_manifest(bundle)
    model = onnx.load(bundle / "loftup.onnx")
    model.producer_name = "another build"
    onnx.save(model, bundle / "loftup.onnx")
    content = (bundle / "loftup.onnx").read_bytes()
    entry = dataclasses.replace(
        manifest.graphs["loftup"], sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    changed = dataclasses.replace(manifest, graphs={**manifest.graphs, "loftup": entry}).sealed()
    (bundle / "manifest.json").write_text(changed.to_json(), encoding="utf-8")
    build(bundle)
    shas = [sidecar.request.onnx_sha256 for _, sidecar in sidecars(bundle) if sidecar.request.graph == "loftup"]
    assert shas == [entry.sha256]
    assert len(fake.builds) == len(USED) + 1


def test_a_graph_that_is_not_the_manifests_is_not_built(bundle, fake):
    with (bundle / "clip_image.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleError, match=r"clip_image\.onnx: .*the manifest says"):
        build(bundle)
    assert fake.builds == []


# failures


FAILURES = [
    ({"parse_error": ("/head/Foo", "Foo", "No importer")}, ["node '/head/Foo' (Foo): No importer", "cannot read"]),
    (
        {"build_error": "Error Code 10: Could not find any implementation for node {ForeignNode[a...b]}."},
        ["could not build", "at node {ForeignNode[a...b]}", "--debug DIR"],
    ),
    ({"build_error": "Myelin (no type for deconv: x (bf16[8]), conv alpha-1F)"}, ["build the engine at node conv:"]),
    ({"build_error": "out of memory"}, ["could not build the engine: out of memory", "--max-batch"]),
    ({"load_error": "Version tag does not match"}, ["refuses the plan", "Version tag does not match", "driver"]),
    ({"start_error": "CUDA initialization failure: 35"}, ["cannot start", "failure: 35", "nvidia-smi"]),
    ({"refuses_profiles": True}, ["refuses profile 0"]),
    ({"version": "10.12.0"}, ["10.12.0 is too old: 10.13"]),
    (
        {"layers": (("conv_7", "CONVOLUTION", "FLOAT", (1, 64)), ("b", "MATRIX_MULTIPLY", "HALF", (1, 64)))},
        ["fp16 was asked for", "compute in fp32: conv_7;"],
    ),
]


@pytest.mark.parametrize(("settings", "said"), FAILURES)
def test_a_failure_names_the_place_and_leaves_nothing(bundle, monkeypatch, settings, said):
    Fake(**settings).install(monkeypatch)
    with pytest.raises(EngineBuildError) as error:
        build(bundle)
    for part in said:
        assert part in str(error.value)
    assert isinstance(error.value, EngineError)
    assert not (bundle / FOLDER).exists() or names(bundle) == []


def test_what_was_finished_before_a_failure_stays(bundle, fake):
    fake.during_build = lambda monitor: len(fake.builds) < 2
    with pytest.raises(EngineBuildError):
        build(bundle)
    assert [sidecar.request.graph for _, sidecar in sidecars(bundle)] == USED[:2]
    fake.during_build = lambda monitor: True
    assert [one.kept for one in build(bundle)] == [True] * 2 + [False] * (len(USED) - 2)


@pytest.mark.parametrize(
    ("precision", "layer"),
    [("fp32", ("a", "CONVOLUTION", "FLOAT", (1, 64))), ("fp16", ("positions", "MATRIX_MULTIPLY", "FLOAT", (-1, 2)))],
)
def test_fp32_products_are_fine_where_asked_for_or_over_coordinates(bundle, monkeypatch, precision, layer):
    Fake(layers=(layer,)).install(monkeypatch)
    assert build(bundle, precision=precision)[0].sidecar.layers == {"FLOAT": 1}


def test_an_interface_that_is_not_the_manifests_is_refused(bundle, fake, monkeypatch):
    def other(model, graph, precision):
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT32
        return model

    monkeypatch.setattr("wordmask_export.precision.policy.typed", other)
    with pytest.raises(EngineBuildError, match="another interface"):
        build(bundle)


def test_a_gpu_that_is_not_there_is_an_error(bundle, fake):
    with pytest.raises(DeviceError, match="GPU 3"):
        build(bundle, gpu=3)


# the folder


def test_engines_are_private_whatever_the_umask(bundle, fake):
    before = os.umask(0)
    try:
        built = build(bundle)
    finally:
        os.umask(before)
    for path in (bundle / FOLDER).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((bundle / FOLDER).stat().st_mode) == 0o700
    assert read_plan(built[0].folder, built[0].sidecar)


def test_a_folder_that_was_open_to_others_is_closed(bundle, fake):
    (bundle / FOLDER).mkdir()
    (bundle / FOLDER).chmod(0o777)
    built = build(bundle)
    assert read_plan(built[0].folder, built[0].sidecar)


def test_engines_are_not_written_through_a_link(bundle, fake, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (bundle / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineBuildError, match="is a link"):
        build(bundle)
    assert not any((tmp_path / "elsewhere").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from wordmask.bundle.engines import Range, Request, Sidecar, Target
from wordmask.bundle.manifest import File
from wordmask_export.tensorrt import cache as engines_disk
bundle, calls = Path(sys.argv[1]), int(sys.argv[2])
plan = b"plan"
request = Request("clip_image", "a" * 64, "fp16", ({"B": Range(1, 1, 1)},), Target("11.4.0", "sm_90"))
sidecar = Sidecar(1, request, File("engine.plan", __import__("hashlib").sha256(plan).hexdigest(), 4), "x", {}, 1.0)
real = os.fsync
def fsync(descriptor):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
with engines_disk.locked(bundle, print) as engines:
    engines_disk.store(engines, sidecar, plan, "log")
"""


@pytest.mark.parametrize("survived", [0, 1, 2, 3])
def test_a_build_that_is_killed_leaves_no_engine_and_the_next_sweeps_up(tmp_path, survived):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(survived)], check=False, timeout=TIMEOUT)
    assert done.returncode == -signal.SIGKILL
    assert list(sidecars(tmp_path)) == []
    assert names(tmp_path) != []  # the killed process could not sweep up itself
    with cache.locked(tmp_path, print):
        assert names(tmp_path) == []


def test_an_engine_is_on_disk_before_it_has_its_name(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "4"], check=False, timeout=TIMEOUT)
    assert done.returncode == -signal.SIGKILL  # at the last fsync, of the folder that holds the engines
    ((folder, sidecar),) = sidecars(tmp_path)
    assert read_plan(folder, sidecar) == b"plan"


HOLDER = """
import sys
from pathlib import Path
from wordmask_export.tensorrt import cache as engines_disk
with engines_disk.locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_build_waits_and_says_for_whom(bundle, fake):
    command = [sys.executable, "-c", HOLDER, str(bundle)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline().strip() == "held"
        said = []
        waiting = threading.Thread(target=lambda: build(bundle, said=said))
        waiting.start()
        deadline = time.monotonic() + TIMEOUT
        while not any("waits for" in line for line in said) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert f"process {os.getpid()} waits for process {holder.pid}" in "\n".join(said)
        assert fake.builds == []
        holder.stdin.write("\n")
        holder.stdin.flush()
        waiting.join(TIMEOUT)
    assert len(fake.builds) == len(USED)


# the commands


def test_the_command_ends_with_a_table_on_stderr(bundle, fake, capsys):
    assert main(["engines", str(bundle), "--max-batch", "2", "--tensorrt-precision", "bf16"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "Fake GPU (sm_90), TensorRT 11.4.0.106" in lines[0]
    table = lines[-1 - len(USED) :]
    assert table[0].split() == ["graph", "MB", "seconds", "layers"]
    assert [line.split()[0] for line in table[1:]] == USED
    assert table[1].endswith("1 HALF, 1 FLOAT")


def test_a_failed_build_is_exit_status_1_and_one_line(bundle, monkeypatch, capsys):
    Fake(build_error="out of memory").install(monkeypatch)
    assert main(["engines", str(bundle)]) == 1
    assert "clip_image.onnx: TensorRT could not build" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", [["engines", "{bundle}"], ["build", "{bundle}-new", "--tensorrt"]])
def test_without_tensorrt_the_extra_is_named(bundle, monkeypatch, capsys, command):
    if command[0] == "build":
        pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main([part.format(bundle=bundle) for part in command]) == 2
    error = capsys.readouterr().err.strip()
    assert "'tensorrt'" in error
    assert "pip install '.[trt]'" in error
    assert len(error.splitlines()) == 1


def test_build_with_tensorrt_builds_the_bundle_and_then_its_engines(bundle, fake, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("wordmask_export.build.build", lambda out, *rest, **options: shutil.copytree(bundle, out))
    out = tmp_path / "new"
    assert main(["build", str(out), "--tensorrt", "--max-batch", "2", "--max-prompts", "8"]) == 0
    requests = {sidecar.request.graph: sidecar.request for _, sidecar in sidecars(out)}
    assert sorted(requests) == sorted(USED)
    assert [profile["N"].maximum for profile in requests["sam2_decoder"].profiles] == [8]


def test_build_misses_a_gpu_before_it_exports(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    Fake(gpus=()).install(monkeypatch)
    monkeypatch.setattr("wordmask_export.build.build", lambda *rest, **options: pytest.fail("exported"))
    assert main(["build", str(tmp_path / "new"), "--tensorrt"]) == 2
    assert "GPU 0 cannot be used" in capsys.readouterr().err


def test_a_signal_cancels_the_build(bundle, fake, capsys):
    def during(monitor):
        monitor.phase_start("tactics", None, 10)
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + TIMEOUT
        while monitor.step_complete("tactics", 1) and time.monotonic() < deadline:
            time.sleep(0.01)
        return time.monotonic() >= deadline

    fake.during_build = during
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["engines", str(bundle)]) == 143
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "interrupted by SIGTERM" in capsys.readouterr().err
    assert names(bundle) == []
