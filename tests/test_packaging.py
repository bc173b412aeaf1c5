"""The wheel holds what a user needs and no more; the source distribution holds what the repository holds."""

from __future__ import annotations

import configparser
import email
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from wordmask.bundle.card import LICENCES_NAME, licences
from wordmask.bundle.manifest_reading import read_manifest

pytest.importorskip("build", reason="build is not installed: pip install '.[test]'")
ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"wordmask": "runtime", "wordmask_export": "export", "wordmask_bench": "benchmarks"}
TINY = ROOT / "models_cache" / "tiny"
MOST_PACKAGES = 12  # of a machine that only runs bundles, with wordmask itself


def tracked() -> list[str]:
    """Files of the repository, new ones too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The source distribution, and the wheel that is built from it."""
    source = tmp_path_factory.mktemp("checkout")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_the_three_packages_and_the_shipped_bundle_and_nothing_else(wheel):
    expected = {f"wordmask/models/tiny/{path.name}" for path in TINY.iterdir()}
    for package, source in SOURCES.items():
        top = ROOT / source / package
        files = [path for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        expected |= {path.relative_to(ROOT / source).as_posix() for path in files}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {name.partition("/")[0] for name in found} == SOURCES.keys()
    assert [name for name in found if PurePosixPath(name).name.startswith(("test_", "conftest"))] == []


def test_the_wheel_holds_the_commands_name_and_the_licence(wheel):
    names = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert b"wordmask = wordmask.cli.main:main" in wheel.read(names["entry_points.txt"])
    assert wheel.read(names["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()


def test_an_installed_wheel_finds_its_bundle_from_any_folder(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    code = "from wordmask.bundle.opening import open_bundle; print(open_bundle().folder)"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "WORDMASK_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path / "site" / "wordmask" / "models" / "tiny"), done.stderr


def test_the_metadata_say_what_the_pages_say(wheel):
    facts = metadata(wheel)
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Description-Content-Type"] == "text/markdown"
    assert facts.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    versions = [kind[-4:] for kind in facts.get_all("Classifier") if re.search(r":: 3\.\d\d$", kind)]
    assert f"Python {versions[0]} to {versions[-1]}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert facts["Requires-Python"] == f">={versions[0]}"


def test_the_source_distribution_holds_what_the_repository_holds(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in found if name.startswith("wordmask.egg-info/")} | {"PKG-INFO"}
    assert found - made == set(tracked())


def test_twine_finds_nothing_wrong(dist):
    check = pytest.importorskip("twine.commands.check", reason="twine is not installed: pip install '.[test]'")
    assert check.check([str(path) for path in dist.iterdir()], strict=True) is False  # that something failed


def test_the_shipped_bundle_takes_the_licence_of_the_tokenizers_merges_along():
    """`wordmask.bundle.card.licences(read_manifest(TINY))` is its text."""
    assert (TINY / LICENCES_NAME).read_text(encoding="utf-8") == licences(read_manifest(TINY))


def test_the_line_that_makes_the_readmes_links_absolute_leaves_none_relative(tmp_path):
    page = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
    export, line = re.findall(r"^    ((?:export BLOB=|sed ).*)$", page, re.MULTILINE)
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    subprocess.run(["sh", "-c", f"{export}\n{line}"], cwd=tmp_path, check=True)
    links = re.findall(r"\]\(([^)\s]+)", (tmp_path / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []


def closure(*extras: str) -> set[str]:
    """The distributions that `pip install '.[EXTRAS]'` brings, by what is installed here."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    options, of_extras = parser["options"], parser["options.extras_require"]
    lines = [options["install_requires"], *(of_extras[extra] for extra in extras)]
    left = [Requirement(line) for text in lines for line in text.split("\n") if line]
    found: dict[str, set[str]] = {}
    while left:
        wanted = left.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found and found[name] >= wanted.extras:
            continue
        found[name] = found.get(name, set()) | wanted.extras
        try:
            needed = importlib.metadata.requires(wanted.name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{wanted.name} is not installed")
        for line in map(Requirement, needed):
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in (*wanted.extras, "")):
                left.append(line)
    return set(found)


def test_a_machine_that_runs_bundles_needs_few_packages():
    assert len({"wordmask"} | closure("cpu")) <= MOST_PACKAGES
    assert "numpy" in closure("cpu")


def test_the_hub_is_reached_without_torch_or_transformers():
    found = closure("cpu", "hub")
    assert "huggingface-hub" in found
    assert not found & {"torch", "transformers", "onnx"}
    assert len(found) <= 2 * MOST_PACKAGES + 4
