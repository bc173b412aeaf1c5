"""The folders are what setup.cfg installs, and none holds more than one can take in at a glance."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"wordmask": "runtime", "wordmask_export": "export", "wordmask_bench": "benchmarks"}
MOST = 18  # modules and folders in a folder
MORE = {
    "runtime/wordmask": 30,
    "runtime/wordmask/photo": 19,
    "runtime/wordmask/cli": 24,
    "tests/runtime": 30,
    "tests/support": 24,
}


def folders(top: Path) -> Iterator[Path]:
    """A folder and all below it that hold modules."""
    yield from sorted({top, *(path.parent for path in top.rglob("*.py"))})


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_folder_with_modules_is_installed() -> None:
    there = {
        ".".join(folder.relative_to(ROOT / source).parts)
        for package, source in SOURCES.items()
        for folder in folders(ROOT / source / package)
    }
    named = setup()["options"]["packages"].split()
    assert len(named) == len(set(named))
    assert set(named) == there | {"wordmask.models.tiny"}  # a bundle, which stands in models_cache


def test_every_folder_says_in_a_line_why_it_exists() -> None:
    for package, source in SOURCES.items():
        for folder in folders(ROOT / source / package):
            text = (folder / "__init__.py").read_text(encoding="utf-8")
            assert text.startswith('"""'), folder


def test_every_file_that_is_no_module_is_installed() -> None:
    patterns = setup()["options.package_data"]
    for package, source in SOURCES.items():
        for path in (ROOT / source / package).rglob("*"):
            if path.is_dir() or path.suffix in (".py", ".pyc"):
                continue
            owner = next(folder for folder in path.parents if (folder / "__init__.py").exists())
            name = ".".join(owner.relative_to(ROOT / source).parts)
            wanted = [pattern.strip() for pattern in patterns.get(name, "").split(",")]
            assert any(path in owner.glob(pattern) for pattern in wanted if pattern), path


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    tops = [*(f"{source}/{package}" for package, source in SOURCES.items()), "tests"]
    for folder in (folder for top in tops for folder in folders(ROOT / top)):
        entries = [
            path.name
            for path in folder.iterdir()
            if (path.is_dir() and path.name != "__pycache__")
            or (path.suffix == ".py" and path.stem not in ("__init__", "__main__", "conftest"))
        ]
        name = folder.relative_to(ROOT).as_posix()
        assert len(entries) <= MORE.get(name, MOST), name
