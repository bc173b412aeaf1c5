"""docs/architecture.md names every folder of the three packages once, and their layers as setup.cfg has them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
SOURCES = {"wordmask": "runtime", "wordmask_export": "export", "wordmask_bench": "benchmarks"}
CONTRACTS = {"wordmask": "runtime", "wordmask_export": "exporters", "wordmask_bench": "bench"}
FOLDER = re.compile(r"^\*\*`([\w/]+)`\*\*", re.MULTILINE)  # begins a folder's paragraph
FILE = re.compile(r"`((?:[\w.]+/)+\w+\.(?:py|cfg|json|md)|(?:[\w]+/)+\w+/?)`")  # a file or a folder with a slash in it
STANDS_BELOW = ("", "runtime", "runtime/wordmask", "export", "export/wordmask_export", "benchmarks", "tests")
STANDS_BELOW += ("benchmarks/wordmask_bench",)


def folders(root: Path) -> set[str]:
    """Folders that hold modules, relative to the three source folders."""
    return {
        path.parent.relative_to(root / source).as_posix()
        for package, source in SOURCES.items()
        for path in (root / source / package).rglob("*.py")
    }


def paragraphs() -> list[str]:
    """The folders that have a paragraph, in order."""
    return FOLDER.findall(PAGE)


def section(heading: str) -> str:
    """What stands below a heading, up to the next one of its rank or above."""
    rank, _, rest = heading.partition(" ")
    found = re.search(rf"^{rank} {re.escape(rest)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def test_every_folder_has_a_paragraph() -> None:
    assert folders(ROOT) - set(paragraphs()) == set()


def test_every_paragraph_is_of_a_folder_that_exists() -> None:
    assert set(paragraphs()) - folders(ROOT) == set()


def test_no_folder_has_two_paragraphs() -> None:
    assert len(paragraphs()) == len(set(paragraphs()))


@pytest.mark.parametrize("package", SOURCES)
def test_paragraphs_stand_in_their_packages_section(package: str) -> None:
    inside = FOLDER.findall(section(f"## Folders of `{package}`"))
    assert set(inside) == {name for name in paragraphs() if name.partition("/")[0] == package}


def test_a_folder_that_is_new_or_gone_would_be_seen(tmp_path: Path) -> None:
    for name in paragraphs():
        folder = tmp_path / SOURCES[name.partition("/")[0]] / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    assert folders(tmp_path) == set(paragraphs())
    (tmp_path / "runtime" / "wordmask" / "dense" / "__init__.py").unlink()
    added = tmp_path / "benchmarks" / "wordmask_bench" / "scenes" / "added"
    added.mkdir()
    (added / "module.py").touch()
    assert set(paragraphs()) ^ folders(tmp_path) == {"wordmask/dense", "wordmask_bench/scenes/added"}


@pytest.mark.parametrize("package", SOURCES)
def test_the_layers_are_the_contracts(package: str) -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser[f"importlinter:contract:{CONTRACTS[package]}"]["layers"].split("\n")
    contract = [{name.strip() for name in line.split("|")} for line in lines if line.strip()]
    rows = re.findall(r"^\| (`.*?`) \|", section(f"### Layers of `{package}`"), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == contract


def test_every_path_on_the_page_exists() -> None:
    named = [name for name in FILE.findall(PAGE) if "NAME" not in name]
    assert len(named) > 60
    missing = [name for name in named if not any((ROOT / place / name).exists() for place in STANDS_BELOW)]
    assert missing == []


def test_the_picture_names_every_folder_but_those_inside_another() -> None:
    picture = (DOCS / "architecture.svg").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture))))
    names = {name.split("/")[1] for name in folders(ROOT) if name.count("/") == 1}
    assert names - words == set()
