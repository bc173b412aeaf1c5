"""`wordmask doctor`: says what is broken and what to do, whatever the machine, and ends with 1 only then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wordmask.bundle.engines import FOLDER
from wordmask.cli import doctor
from wordmask.cli.main import main
from wordmask.errors import BundleError

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without GPU and with one bundle, a copy of tiny."""
    shutil.copytree(TINY, tmp_path / "models" / "tiny")
    monkeypatch.setattr(doctor, "search_path", lambda: [tmp_path / "models"])
    monkeypatch.setattr(doctor, "NVIDIA_SMI", (str(tmp_path / "nvidia-smi"),))
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORDMASK_MODELS", raising=False)
    return tmp_path


def findings(capsys, status):
    """The findings by topic, and by state those that are not ok."""
    assert main(["doctor", "--json"]) == status
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] == (status == 0)
    return {finding["topic"]: finding for finding in said["findings"]}


def installed(monkeypatch, **versions):
    """Makes these distributions look installed, and no other."""
    monkeypatch.setattr(doctor, "version", lambda name: versions.get(name.replace("-", "_")))


def nvidia_smi(machine, text, status=0):
    path = machine / "nvidia-smi"
    path.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
    path.chmod(0o755)


def test_a_machine_on_which_all_is_well_is_exit_status_0(machine, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all is well"
    assert any(line.startswith("ok") and "CPUExecutionProvider" in line for line in lines)
    assert any(line.startswith("ok") and "models/tiny" in line and "its files are whole" in line for line in lines)
    assert any(line.startswith("ok") and f"{machine / 'cache'} ($WORDMASK_CACHE)" in line for line in lines)
    assert not (machine / "cache").exists()


def test_versions_are_told(capsys):
    found = findings(capsys, 0)
    assert found["python"]["text"].startswith(sys.version.split()[0])
    assert found["numpy"]["text"][0].isdigit()


def test_both_distributions_of_onnx_runtime_are_a_problem(monkeypatch, capsys):
    monkeypatch.setattr("wordmask.backends.onnxruntime.graph._folder_of", lambda name: Path("/site/onnxruntime"))
    found = findings(capsys, 1)["onnxruntime"]
    assert found["state"] == "problem"
    assert "onnxruntime and onnxruntime-gpu are both installed" in found["text"]
    assert "uninstall both" in found["text"]


def test_no_onnx_runtime_is_a_problem(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install '.[cpu]'" in findings(capsys, 1)["onnxruntime"]["text"]


def test_onnxruntime_gpu_without_cuda_is_a_problem(monkeypatch, capsys):
    installed(monkeypatch, onnxruntime_gpu="1.31.1")
    assert "it has no CUDA" in findings(capsys, 1)["onnxruntime"]["text"]


def test_a_package_that_cannot_be_imported_is_a_problem(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = findings(capsys, 1)["opencv-python-headless"]
    assert found["state"] == "problem"
    assert "pip install 'opencv-python-headless'" in found["text"]


def test_what_else_is_missing_is_no_problem(monkeypatch, capsys):
    installed(monkeypatch, onnxruntime="1.31.1", tensorrt="11.4.0")
    found = findings(capsys, 0)
    assert found["openvino"] == {"topic": "openvino", "state": "note", "text": "not installed"}
    assert found["tensorrt"] == {"topic": "tensorrt", "state": "ok", "text": "11.4.0"}


def test_gpus_are_listed(machine, capsys):
    nvidia_smi(machine, "NVIDIA H200, 9.0, 143771 MiB, 580.65.06")
    assert findings(capsys, 0)["gpu"]["text"] == "0: NVIDIA H200, 9.0, 143771 MiB, 580.65.06"


def test_a_driver_that_does_not_answer_is_told_with_its_reason(machine, capsys):
    nvidia_smi(machine, "Failed to initialize NVML: Driver/library version mismatch", 18)
    found = findings(capsys, 0)["gpu"]
    assert found["state"] == "note"
    assert "version mismatch" in found["text"]


def test_a_damaged_bundle_is_a_problem_that_names_the_file(machine, capsys):
    path = machine / "models" / "tiny" / "loftup.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    found = findings(capsys, 1)["bundle"]
    assert found["state"] == "problem"
    assert "loftup.onnx: its sha256 is not the manifest's" in found["text"]


def test_every_bundle_is_looked_at_once_and_a_bad_one_hides_no_other(machine, capsys):
    (machine / "models" / "again").symlink_to(machine / "models" / "tiny")
    (machine / "models" / "broken").mkdir()
    (machine / "models" / "broken" / "manifest.json").write_text("{")
    assert main(["doctor"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if " bundle " in line]
    assert sorted(line.split()[0] for line in lines) == ["ok", "problem"]


def test_no_bundle_at_all_is_a_problem(machine, capsys):
    shutil.rmtree(machine / "models")
    assert "wordmask build" in findings(capsys, 1)["bundle"]["text"]


def test_an_engine_that_cannot_be_used_is_a_problem(machine, capsys):
    folder = machine / "models" / "tiny" / FOLDER / "loftup-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "engine.json").write_text("{}")
    found = findings(capsys, 1)["engine"]
    assert found["state"] == "problem"
    assert "build the engine again" in found["text"]


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_a_cache_that_cannot_be_written_is_a_warning(machine, monkeypatch, capsys, kind):
    (machine / "file").touch()
    monkeypatch.setenv("WORDMASK_CACHE", str(machine / "file" / ("deeper/still" if kind == "below a file" else "")))
    found = findings(capsys, 0)["cache"]
    assert found["state"] == "warning"
    assert "set $WORDMASK_CACHE" in found["text"]


def test_a_models_folder_that_is_not_there_is_a_warning(monkeypatch, capsys):
    monkeypatch.setenv("WORDMASK_MODELS", "/nowhere/at/all")
    assert "/nowhere/at/all" in findings(capsys, 0)["bundle"]["text"]


class Hardware:
    """What the machine has beside its packages."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.setattr(doctor, "PCI_DEVICES", folder / "pci")
        monkeypatch.setattr(doctor, "PROCESSORS", folder / "cpuinfo")

    def card(self, vendor, kind):
        place = self.folder / "pci" / "0000:01:00.0"
        place.mkdir(parents=True)
        (place / "vendor").write_text(f"{vendor}\n")
        (place / "class").write_text(f"{kind}\n")

    def processor(self, flags):
        (self.folder / "cpuinfo").write_text(f"flags : fpu {flags} sse\n")


@pytest.fixture
def hardware(machine, monkeypatch):
    return Hardware(machine, monkeypatch)


def told_of_devices(capsys):
    assert main(["doctor", "--json"]) in (0, 1)
    said = json.loads(capsys.readouterr().out)["findings"]
    return [finding["text"] for finding in said if finding["topic"] == "device"]


def test_the_fastest_device_is_named(hardware, capsys):
    (text,) = told_of_devices(capsys)
    assert text.startswith("--device openvino")
    assert text.endswith("is the fastest that works here; --device auto takes it")


@pytest.mark.parametrize(
    ("vendor", "kind", "noted"),
    [("0x10de", "0x030000", True), ("0x10de", "0x020000", False), ("0x8086", "0x030000", False)],
)
def test_what_a_gpu_would_need_is_told_where_there_is_one(hardware, capsys, vendor, kind, noted):
    hardware.card(vendor, kind)
    texts = told_of_devices(capsys)[1:]
    assert len(texts) == (2 if noted else 0)
    if noted:
        assert texts[0].startswith("--device tensorrt:0 would be faster: ")
        assert "pip install '.[trt]'" in texts[0]
        assert texts[1].startswith("--device cuda:0 would be faster: ")
        assert "pip install '.[gpu]'" in texts[1]


@pytest.mark.parametrize(("flags", "noted"), [("avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512f", False)])
def test_openvino_is_advised_where_the_processor_has_units_for_it(hardware, monkeypatch, capsys, flags, noted):
    hardware.processor(flags)
    monkeypatch.setitem(sys.modules, "openvino", None)
    chosen, *faster = told_of_devices(capsys)
    assert chosen.startswith("--device cpu is the fastest")
    assert [text.startswith("--device openvino would be faster") for text in faster] == [True] * noted
    assert all("pip install '.[openvino]'" in text for text in faster)


def test_without_a_bundle_no_device_is_judged(monkeypatch, capsys):
    def missing():
        raise BundleError("no bundle")

    monkeypatch.setattr("wordmask.bundle.opening.open_bundle", missing)
    assert "depends on a bundle" in told_of_devices(capsys)[0]


@pytest.mark.parametrize("look", ["packages", "gpu", "bundles", "caches"])
def test_a_look_that_fails_is_a_finding_and_the_others_go_on(monkeypatch, capsys, look):
    def fail():
        raise RuntimeError("the driver\x1b[2J is upset")
        yield

    monkeypatch.setattr(doctor, look, fail)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert r"could not be checked (RuntimeError: the driver\x1b[2J is upset)" in out
    assert "python" in out
    assert len(out.splitlines()) > 5


def test_torch_is_never_imported():
    code = "import sys; from wordmask.cli.main import main; main(['doctor']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
