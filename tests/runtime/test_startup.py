"""`--help` answers at once: what its process has not imported."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"numpy", "cv2", "PIL", "onnxruntime", "ftfy", "regex", "wordmask.pipeline", "wordmask.manifest"}


def test_the_options_of_all_commands_are_known_before_anything_heavy_is_imported() -> None:
    code = "import sys\nfrom wordmask.cli import make_parser\nmake_parser()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "wordmask.cli" in modules
    assert not modules & HEAVY
