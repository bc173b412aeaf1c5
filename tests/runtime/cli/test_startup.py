"""`--help` answers at once: what its process has not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"numpy", "cv2", "PIL", "onnxruntime", "ftfy", "regex", "wordmask.pipeline"}


def test_the_options_of_all_commands_are_known_before_anything_heavy_is_imported() -> None:
    modules = imported_by("make_parser()")
    assert "wordmask.cli.doctor" in modules
    assert not modules & HEAVY


def test_the_options_of_a_command_are_known_before_another_is_imported() -> None:
    modules = imported_by("make_parser(['run', '--help'])")
    assert "wordmask.cli.run" in modules
    assert not modules & {f"wordmask.cli.{name}" for name in ("build", "convert", "doctor", "eval", "inspect")}
    assert not modules & {*HEAVY, "wordmask.bundle.manifest", "wordmask_bench", "wordmask_export"}


def imported_by(call: str) -> set[str]:
    code = f"import sys\nfrom wordmask.cli.main import make_parser\n{call}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_bundle_is_loaded_without_reporting_it_to_anybody(tmp_path) -> None:
    """ONNX Runtime's official builds keep a device id and a queue of events in the home folder, unless told not to."""
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for folder in home.values():
        Path(folder).mkdir()
    code = "from wordmask import Segmenter\nSegmenter('tiny', threads=1)"
    subprocess.run([sys.executable, "-c", code], env=told | home, check=True)
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []
