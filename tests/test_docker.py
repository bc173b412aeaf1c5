"""The Dockerfiles and the compose file: linted, and right about extras, files, commands and versions.

No image is built here. `-m installs` runs what their pip lines install, in an environment of its own.
"""

from __future__ import annotations

import configparser
import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wordmask.cli.main import make_parser

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
PIP = re.compile(r"pip install ([^&\n]*)")
MOST_PACKAGES = 12


def instructions(path: Path) -> list[str]:
    """A Dockerfile's lines, without comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def base(name: str) -> str:
    return instructions(FOLDER / f"{name}.Dockerfile")[0].split()[1]


def installed(path: Path) -> tuple[str, list[str]]:
    """The folder that a Dockerfile's pip line installs, and its extras."""
    (arguments,) = PIP.findall("\n".join(instructions(path)))
    (wanted,) = [word for word in shlex.split(arguments) if not word.startswith("-")]
    folder, extras = re.fullmatch(r"([\w/]+)\[([\w,]+)\]", wanted).groups()
    return folder, extras.split(",")


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install '.[test]'")
    done = subprocess.run([hadolint, *map(str, DOCKERFILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(DOCKERFILES) == 3


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_installs_extras_that_exist_from_the_folder_it_copies(path):
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    folder, extras = installed(path)
    assert f"COPY . {folder}" in instructions(path)
    assert set(extras) <= set(parser["options.extras_require"])
    assert not {"cpu", "gpu"} <= set(extras)  # their two runtimes overwrite each other
    assert "export" not in extras
    assert f"docker build -f docker/{path.name} -t " in path.read_text(encoding="utf-8")


def test_the_images_are_those_that_the_pages_name():
    python = base("cpu").removeprefix("python:").removesuffix("-slim")
    assert f"Programming Language :: Python :: {python}" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert base("gpu").rpartition(":")[2] == base("triton").rpartition(":")[2]  # one release has one TensorRT
    assert base("triton") in SERVING
    page = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    for path in DOCKERFILES:
        row = rf"\| `docker/{path.name}` \| `{re.escape(base(path.stem))}` \|"
        assert re.search(row, page)
    assert "**No image has been built from them yet**" in page


def test_an_image_starts_the_command_line_as_a_user_without_rights():
    for name in ("cpu", "gpu"):
        lines = instructions(FOLDER / f"{name}.Dockerfile")
        assert lines[-2:] == ['ENTRYPOINT ["wordmask"]', 'CMD ["--help"]']
        (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
        assert user.isdigit()
        assert user != "0"
        assert "WORDMASK_CACHE=/cache" in "".join(lines)


def sent(name: str) -> bool:
    """Whether .dockerignore lets a file go to the builder: the last line that names it or a folder above it decides."""
    kept = True
    places = [name, *(str(folder) for folder in Path(name).parents)][:-1]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(matches(pattern, place) for place in places):
            kept = line.startswith("!")
    return kept


def matches(pattern: str, place: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(place.rpartition("/")[2], pattern[3:])
    return "/" not in place if pattern == "*" else place == pattern


def test_the_builder_gets_what_pip_needs_and_little_else():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    folders = parser["options"]["package_dir"].split("\n")
    tops = [line.partition("=")[2].strip() for line in folders if "=" in line]
    assert len(tops) == 4
    for top in tops:
        files = [path for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert files
        assert [path for path in files if not sent(path.relative_to(ROOT).as_posix())] == []
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        assert sent(name)
    for name in (
        "tests/test_docs.py",
        "docs/docker.md",
        ".git/config",
        "out/a.png",
        "models_cache/default/loftup.onnx",
    ):
        assert not sent(name), name
    assert not sent("runtime/wordmask/__pycache__/rle.cpython-311.pyc")
    assert not sent("benchmarks/results/README.md")


@pytest.fixture(scope="module")
def services() -> dict:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_compose_builds_one_image_that_writes_the_repository_and_serves_it(services):
    assert set(services) == {"repository-gpu", "server-gpu", "repository-cpu", "server-cpu"}
    for name, service in services.items():
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert [name.partition("-")[2]] == service["profiles"]
    for device in ("gpu", "cpu"):
        writer, server = services[f"repository-{device}"], services[f"server-{device}"]
        assert list(server["depends_on"].items()) == [
            (f"repository-{device}", {"condition": "service_completed_successfully"})
        ]
        assert f"models-{device}:/models" in writer["volumes"]
        assert f"models-{device}:/models:ro" in server["volumes"]


def test_composes_commands_are_those_of_the_parser(services):
    for device in ("gpu", "cpu"):
        shell = shlex.split(services[f"repository-{device}"]["command"])
        assert shell[:2] == ["sh", "-c"]
        test, command = shell[2].split(" || ")
        words = shlex.split(command.replace("${WORDMASK_BUNDLE:-tiny}", "tiny"))
        args = make_parser(words[1:]).parse_args(words[1:])
        assert (words[0], args.bundle, args.device) == ("wordmask", "tiny", device)
        assert test == f"test -e {args.out}"
        assert f"--model-repository={args.out} " in services[f"server-{device}"]["command"]


def test_the_servers_options_are_those_of_the_page_and_it_is_not_open_to_others(services):
    (shown,) = re.findall(r"tritonserver --model-repository=/models (--.*)", SERVING)
    for name in ("server-gpu", "server-cpu"):
        server = services[name]
        assert server["command"].split(" ", 2)[2] == shown
        assert all(port.startswith("127.0.0.1:") for port in server["ports"])
        assert server["shm_size"] == "8gb"
        assert "--shm-size 8g " in SERVING
    (device,) = services["server-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in services["server-cpu"]


def test_the_files_that_pages_give_to_docker_exist():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    named = re.findall(r"docker (?:build|compose) -f (\S+)", pages)
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.fixture
def environment(tmp_path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    return tmp_path / "env" / "bin"


@pytest.mark.installs
@pytest.mark.parametrize(("extras", "most"), [("cpu", MOST_PACKAGES), ("cpu,hub", 2 * MOST_PACKAGES + 4)])
def test_the_line_of_the_processors_image_brings_few_packages_and_a_command_that_segments(
    environment, tmp_path, extras, most
):
    """Without `hub` it is the line of the README: 12 packages, wordmask among them."""
    assert set(extras.split(",")) <= set(installed(FOLDER / "cpu.Dockerfile")[1])
    source = shutil.copytree(ROOT, tmp_path / "src", ignore=left_out)
    subprocess.run([environment / "pip", "install", "-q", "--no-cache-dir", f"{source}[{extras}]"], check=True)
    done = subprocess.run([environment / "pip", "list"], capture_output=True, text=True, check=True)
    packages = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert len(set(packages) - {"pip", "setuptools"}) <= most
    scene = str(ROOT / "examples" / "scenes" / "01.png")
    words = ["--vocabulary", "blue plain", "--background", "none"]
    command = [environment / "wordmask", "run", scene, *words, "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 of 1 photos" in done.stdout) == (0, True), done.stderr


def left_out(folder: str, names: list[str]) -> list[str]:
    """What .dockerignore keeps from the builder; folders above something that is sent stay."""
    place = Path(folder).relative_to(ROOT)
    keep = {"benchmarks", "models_cache"}
    return [name for name in names if name not in keep and not sent((place / name).as_posix())]


@pytest.mark.installs
@pytest.mark.parametrize("name", ["gpu", "triton"])
def test_the_lines_of_nvidias_images_can_be_resolved(environment, name):
    """Without TensorRT, which the image holds: PyPI has only an installer of it, that asks NVIDIA's index."""
    extras = [extra for extra in installed(FOLDER / f"{name}.Dockerfile")[1] if extra != "trt"]
    wanted = f"{ROOT}[{','.join(extras)}]"
    command = [environment / "pip", "install", "--dry-run", "--no-cache-dir", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    brought = done.stdout.rpartition("Would install ")[2]
    assert ("onnxruntime-gpu-" in brought) == (name == "gpu")
    assert "torch-" not in brought
