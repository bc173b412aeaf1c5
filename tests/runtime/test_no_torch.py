"""The runtime must work where torch is not installed, and import fast."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import wordmask

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip", "sam2", "onnx"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


def python(code, **settings):
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False, **settings)


def test_every_module_imports_with_torch_blocked():
    apart = ("wordmask.__main__", "wordmask.demo.page")  # the page needs Gradio
    names = [m.name for m in pkgutil.walk_packages(wordmask.__path__, "wordmask.") if m.name not in apart]
    assert len(names) > 20
    done = python(f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n")
    assert done.returncode == 0, done.stderr


def test_a_photo_is_segmented_with_torch_blocked(small_bundle, examples, tmp_path):
    done = python(
        "from wordmask.cli.main import main\n"
        f"sys.exit(main(['run', {str(examples / 'chelsea.jpg')!r}, '--vocabulary', 'cat', "
        f"'--bundle', {str(small_bundle)!r}, '--output', {str(tmp_path)!r}]))"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "semantic" / "chelsea.png").is_file()


def test_build_without_its_extra_names_it(tmp_path):
    done = python(f"from wordmask.cli.main import main\nsys.exit(main(['build', {str(tmp_path / 'x')!r}]))")
    assert done.returncode == 2
    assert "pip install '.[export]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_package_loads_nothing_heavy():
    done = python("import wordmask\nprint([m for m in ('numpy', 'cv2', 'onnxruntime', 'PIL') if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_five():
    assert len(wordmask.__all__) == 5
    for name in wordmask.__all__:
        assert getattr(wordmask, name).__module__.startswith("wordmask.")
