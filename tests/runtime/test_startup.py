"""`--help` answers at once: what its process has not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"numpy", "cv2", "PIL", "onnxruntime", "ftfy", "regex", "wordmask.pipeline", "wordmask.bundle.manifest"}


def test_the_options_of_all_commands_are_known_before_anything_heavy_is_imported() -> None:
    code = "import sys\nfrom wordmask.cli import make_parser\nmake_parser()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "wordmask.cli" in modules
    assert not modules & HEAVY


def test_a_bundle_is_loaded_without_reporting_it_to_anybody(tmp_path) -> None:
    """ONNX Runtime's official builds keep a device id and a queue of events in the home folder, unless told not to."""
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for folder in home.values():
        Path(folder).mkdir()
    code = "from wordmask import Segmenter\nSegmenter('tiny', threads=1)"
    subprocess.run([sys.executable, "-c", code], env=told | home, check=True)
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []
