"""`wordmask inspect`: graphs, engines, and whether this machine can use them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from wordmask.bundle.engines import FOLDER, PLAN, SCHEMA, SIDECAR, Range, Request, Sidecar, Target
from wordmask.bundle.manifest import File
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.cli.inspect import show_buckets, show_ranges
from wordmask.cli.main import main
from wordmask.errors import DeviceError

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"
HERE = Target("11.4.0.106", "sm_90")
PROFILES = tuple({"B": Range(n, n, n), "C": Range(1, 32, 512), "H+4": Range(36, 132, 132)} for n in (1, 8))


@pytest.fixture
def bundle(tmp_path):
    """The manifest alone: inspect reads no graph."""
    (tmp_path / "bundle").mkdir()
    shutil.copy(TINY / "manifest.json", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr("wordmask.backends.tensorrt.cuda.target_of", lambda device: (HERE, "NVIDIA H200"))


def place(bundle, **change):
    """Writes an engine of `loftup` as a build does."""
    sha = read_manifest(bundle).graphs["loftup"].sha256
    request = dataclasses.replace(Request("loftup", sha, "fp16", PROFILES, HERE), **change)
    folder = bundle / FOLDER / request.key
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        path.chmod(0o700)
    (folder / PLAN).write_bytes(b"plan")
    (folder / PLAN).chmod(0o600)
    plan = File(PLAN, hashlib.sha256(b"plan").hexdigest(), 4)
    sidecar = Sidecar(SCHEMA, request, plan, "NVIDIA H200", {"FLOAT": 9, "HALF": 211}, 1.5)
    (folder / SIDECAR).write_text(sidecar.to_json())
    return folder


def inspect(bundle, capsys):
    assert main(["inspect", str(bundle), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_engine_is_shown_with_all_it_was_built_for(bundle, on_gpu, capsys):
    folder = place(bundle)
    assert main(["inspect", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "this machine: NVIDIA H200, sm_90, TensorRT 11.4.0.106" in lines
    row = " ".join(lines[-1].split())
    assert row == (
        f"{folder.name} fp16 NVIDIA H200 (sm_90) 11.4.0.106 0.0 B 1/8 C 1..512, H+4 36..132 211 HALF, 9 FLOAT fits"
    )


def test_graphs_are_shown_with_their_interface(bundle, on_gpu, capsys):
    main(["inspect", str(bundle)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "clip_image 5.7 in image uint8 B, 128, 128, 3" in lines
    assert "out features float32 B, 48, 8, 8" in lines
    assert f"no TensorRT engines; `wordmask engines {bundle}` builds them" in lines


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "fits"),
        ({"onnx_sha256": "b" * 64}, "stale: of another build of the bundle"),
        ({"target": Target("11.4.0.106", "sm_89")}, "for another GPU: sm_89, here is sm_90"),
        ({"target": Target("10.13.0", "sm_90")}, "for another TensorRT: 10.13.0, here is 11.4.0.106"),
    ],
)
def test_whether_an_engine_fits_this_machine(bundle, on_gpu, capsys, change, state):
    place(bundle, **change)
    assert [engine["state"] for engine in inspect(bundle, capsys)["engines"]] == [state]


def test_what_tensorrt_rtx_keeps_is_told_from_tensorrts_own(bundle, on_gpu, capsys):
    place(bundle, graph="rtx-loftup", profiles=(), target=Target("rtx 0.5.0", "pci_2335"))
    (engine,) = inspect(bundle, capsys)["engines"]
    assert engine["state"] == "for --device tensorrt-rtx, rtx 0.5.0"


def test_a_plan_that_run_would_refuse_is_said_so(bundle, on_gpu, capsys):
    (place(bundle) / PLAN).chmod(0o666)
    (place(bundle, precision="bf16") / PLAN).write_bytes(b"evil")
    states = {e["sidecar"]["request"]["precision"]: e["state"] for e in inspect(bundle, capsys)["engines"]}
    assert states["fp16"].startswith("refused: ")
    assert "others may write it" in states["fp16"]
    assert "sha256" in states["bf16"]


def test_a_folder_without_a_readable_sidecar_is_shown(bundle, on_gpu, capsys):
    (place(bundle) / SIDECAR).write_text("{")
    (bundle / FOLDER / ".wordmask-part-a").mkdir()  # of a build under way
    (engine,) = inspect(bundle, capsys)["engines"]
    assert engine["sidecar"] is None
    assert engine["state"].startswith("unusable: ")
    assert main(["inspect", str(bundle)]) == 0


def test_without_a_gpu_all_but_the_fit_is_shown(bundle, monkeypatch, capsys):
    def no_gpu(device):
        raise DeviceError("GPU 0 cannot be used (no driver)")

    monkeypatch.setattr("wordmask.backends.tensorrt.cuda.target_of", no_gpu)
    place(bundle)
    raw = inspect(bundle, capsys)
    assert raw["machine"] == {"target": None, "gpu": "", "reason": "GPU 0 cannot be used (no driver)"}
    assert [engine["state"] for engine in raw["engines"]] == ["unknown"]
    assert raw["bundle_id"] == read_manifest(bundle).bundle_id
    assert raw["graphs"]["loftup"]["inputs"][0]["shape"] == ["B", 48, "h", "w"]


def test_what_is_no_bundle_is_exit_status_2(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert "is not a bundle" in capsys.readouterr().err


def test_buckets_and_ranges_read_as_sizes():
    profiles = tuple({"N": Range(n, n, n), "P": Range(1, 1, 16)} for n in (8, 16))
    assert show_buckets(profiles) == "N 8/16"
    assert show_ranges(profiles) == "P 1..16"
