"""Files that other tools read agree with what they repeat: CI's linters, the version, the papers."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

import wordmask

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[1]
LINTERS = ("ruff", "mypy", "lint-imports")
ARXIV = re.compile(r"https://arxiv\.org/abs/[\d.]+")


def load(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def version() -> str:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["metadata"]["version"]


def test_the_hooks_before_a_commit_are_the_linters_of_ci() -> None:
    lines = re.findall(r'^"\$bin/([\w-]+)" (.*)$', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [f"{tool} {rest}" for tool, rest in lines if tool in LINTERS]
    wanted = [line.replace(" --check", "").removesuffix(" .") for line in wanted]
    (local,) = load(".pre-commit-config.yaml")["repos"]
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in local["hooks"]]
    assert local["repo"] == "local"  # versions are those of the environment
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    assert hooks == wanted
    assert len(wanted) == 4


def test_the_citation_and_the_package_are_of_this_version() -> None:
    assert str(load("CITATION.cff")["version"]) == version()
    assert wordmask.__version__ == version()


def test_the_papers_of_the_stages_are_cited() -> None:
    cited = {reference["url"] for reference in load("CITATION.cff")["references"]}
    pages = (ROOT / "README.md", *(ROOT / "docs" / name for name in ("licences.md", "thresholds.md", "build.md")))
    assert set(ARXIV.findall("".join(page.read_text(encoding="utf-8") for page in pages))) <= cited
    for reference in load("CITATION.cff")["references"]:
        assert reference.keys() >= {"type", "title", "authors", "year", "url"}


def test_the_changelog_has_a_section_for_what_comes_next_and_one_for_each_version() -> None:
    sections = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for name, _ in sections]
    assert names[0] == "Unreleased"
    assert version() in (*names, "0.1.0")  # 0.1.0 is not released yet
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in sections[1:])
