"""Users without a home, folders that are gone or closed, terminals that show ASCII alone, packages in an archive."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

import wordmask
from odd_file_systems import OddFolder
from wordmask.cli.main import main
from wordmask.system import user_cache as caches

SOURCE = Path(wordmask.__file__).parent
WORDS = ("--vocabulary", "blue plain", "--background", "none", "--threads", "1", "--stride", "128")  # few windows


@pytest.fixture
def scene(examples) -> Path:
    return examples.parent / "scenes" / "01.png"


@pytest.fixture
def _homeless(monkeypatch, tmp_path):
    """Neither $HOME nor an entry for the user, as in a container that is run with any number as its user."""
    for name in ("HOME", "WORDMASK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_entry(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    caches.temporary_cache.cache_clear()
    yield
    caches.temporary_cache.cache_clear()


@pytest.mark.usefixtures("_homeless")
def test_a_user_without_a_home_has_a_cache_of_their_own(scene, tmp_path):
    assert main(["run", str(scene), *WORDS, "--bundle", "tiny", "--output", str(tmp_path / "out")]) == 0
    folder = tmp_path / "tmp" / f"wordmask-{os.getuid()}"
    assert caches.user_cache() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*.f32"))


@pytest.mark.usefixtures("_homeless")
@pytest.mark.parametrize("planted", ["open to all", "a link"])
def test_a_cache_that_others_can_write_is_not_taken(tmp_path, planted):
    folder = tmp_path / "tmp" / f"wordmask-{os.getuid()}"
    if planted == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert caches.user_cache() not in (folder, tmp_path)
    assert stat.S_IMODE(caches.user_cache().stat().st_mode) == 0o700


def test_a_home_that_is_read_only_costs_the_cache_alone(scene, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("WORDMASK_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    home = OddFolder(monkeypatch, tmp_path / "home")
    for name in ("mkdir", "open"):
        home.refuse(os, name, errno.EROFS)
    assert main(["run", str(scene), *WORDS, "--bundle", "tiny", "--output", str(tmp_path / "out")]) == 0
    assert "the embeddings of words cannot be kept there (" in caplog.text
    assert not list((tmp_path / "home").iterdir())


def run(scene: Path, out: Path, *, cwd: Path | None = None, before: str = "", **environment: str):
    """`wordmask run` in processes of its own; `before` is a line of shell."""
    path = environment.pop("PYTHONPATH", str(SOURCE.parent))
    kept = {"PATH": os.environ["PATH"], "WORDMASK_CACHE": os.environ["WORDMASK_CACHE"], "PYTHONPATH": path}
    command = [sys.executable, "-P", "-m", "wordmask", "run", str(scene), *WORDS, "--output", str(out)]
    shell = ["sh", "-c", f'{before}\nexec "$@"', "sh", *command]
    return subprocess.run(shell, env=kept | environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_current_folder_is_neither_needed_nor_written(scene, tmp_path):
    (tmp_path / "gone").mkdir()
    done = run(scene, tmp_path / "out", cwd=tmp_path / "gone", before="rmdir ../gone")
    assert (done.returncode, "1 of 1 photos" in done.stdout) == (0, True)
    (tmp_path / "here").mkdir()
    run(scene, tmp_path / "out2", cwd=tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["io", "c", "ascii"],
)
def test_names_that_the_terminal_cannot_show_are_escaped(scene, tmp_path, environment):
    photo = shutil.copy(scene, tmp_path / "caf\u00e9.png")
    done = run(photo, tmp_path / "\u00fcber", **environment)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0)
    assert done.stdout.isascii() or environment == {"LANG": "C"}  # which Python takes for UTF-8
    assert "1 of 1 photos" in done.stdout
    assert (tmp_path / "\u00fcber" / "semantic" / "caf\u00e9.png").is_file()


def test_words_are_utf_8_whatever_the_terminal_is_taken_for(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "WORDS", ("--vocabulary", "caf\u00e9", "--threads", "1"))
    done = run(scene, tmp_path / "out", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0
    assert json.loads((tmp_path / "out" / "annotations.json").read_bytes())["categories"][0]["name"] == "caf\u00e9"


def test_a_package_in_an_archive_works_with_all_that_is_shipped(scene, tmp_path, examples):
    tiny = examples.parents[1] / "models_cache" / "tiny"
    files = {  # an installed package has tiny below it already
        f"{inside}/{path.relative_to(top).as_posix()}": path
        for top, inside in ((SOURCE, "wordmask"), (tiny, "wordmask/models/tiny"))
        for path in top.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(tmp_path / "wordmask.zip", "w") as archive:
        for name, path in files.items():
            archive.write(path, name)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    settings = {"PYTHONPATH": str(tmp_path / "wordmask.zip"), "TMPDIR": str(tmp_path / "tmp")}
    done = run(scene, tmp_path / "zipped", cwd=tmp_path / "here", **settings)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0)
    assert list((tmp_path / "tmp").iterdir()) == []  # what was taken out of the archive is removed
    assert run(scene, tmp_path / "plain").returncode == 0
    for name in ("annotations.json", "semantic/01.png"):
        assert (tmp_path / "zipped" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    code = "from wordmask.dense import pamr, device_classmap as c\nfrom wordmask.objects import device_graphs as d\n"
    code += "pamr.load_pamr(1)\nprint(all(file.is_file() for file in (c.FILE, d.SQUARE, d.PICK)))"
    kept = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
