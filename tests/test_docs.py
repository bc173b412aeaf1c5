"""What README.md, CONTRIBUTING.md and docs/ show works.

Python blocks run, command lines are those of the parser, and cheap ones run too. Links lead to files that are there
(Sphinx checks their anchors, see test_site.py), and messages that a page quotes are the code's.

Nothing is skipped in silence: a block or a command of a kind that is not named here fails. Of commands with the
same options the first one runs, the others are parsed.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from wordmask import Segmenter
from wordmask.bundle.opening import Bundle
from wordmask.bundle.search import find_bundle
from wordmask.bundle.unpacking import SUFFIX
from wordmask.cli.main import main, make_parser
from wordmask.rle import encode
from wordmask_bench.speed.report import read_report

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|(?<=\A))(?: {4}[^\n]*\n)+")
INLINE = re.compile(r"`wordmask ([^`]+)`")
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)[^)]*\)")
PRINTED = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)
MESSAGE = re.compile(r"^\| ([^|]*`[^|]*) \|", re.MULTILINE)

RUN, COMPILED, SHOWN = "run", "compiled", "shown"
FENCES = {
    "python": RUN,
    "python before": COMPILED,
    "text": SHOWN,
}  # before: of the PyTorch pipeline, which is not here
TROUBLES = (ROOT / "docs" / "troubleshooting.md", ROOT / "docs" / "first-build.md")
OF_OTHERS = (  # messages of pip and OpenCV, and names of options, on that page
    "No matching distribution found for wordmask",
    "requires a different Python",
    "libGL.so.1: cannot open shared object file",
    "--shm-size",
)
ELSEWHERE = ("docs/serving.md",)  # run by tests/runtime/triton/test_docs.py, over what stands in for a server
NOT_INSTALLED = ("fiftyone", "supervision")  # blocks that import these are compiled
COMMANDS = {
    "run": RUN,  # but for devices and clusters that are not here
    "inspect": RUN,
    "doctor": RUN,
    "check": "parsed: has tests of its own",
    "build": "parsed: takes minutes and weights",
    "engines": "parsed: takes a GPU",
    "bench": "parsed: takes minutes and torch",
    "eval": "parsed: takes minutes or datasets",
    "compare": "parsed: has tests of its own",
    "features": "parsed: takes a bundle that is not shipped",
    "convert": "parsed: has tests of its own",
    "demo": "parsed: serves until it is ended",
    "triton": "parsed: has tests of its own",
    "pack": "parsed: has tests of its own",
    "pull": "parsed: takes the hub",
}
OTHERS = {
    "pip": "installs",
    "git": "fetches the checkout",
    "sphinx": "run by tests/test_site.py",
    "python3": "makes the virtual environment",
    "cd": "the shell's",
    "source": "the shell's",
    "export": "the shell's",
    "cat": "the system's",
    "run": "CI, which runs these tests",
    "ruff": "checks what is written, in CI",
    "mypy": "the same",
    "lint-imports": "the same",
    "pre-commit": "not installed here",
    "docker": "takes NVIDIA's server",
    "unzip": "the system's",
    "cp": "the system's",
    "sed": "run by tests/test_packaging.py",
    "build": "run by tests/test_packaging.py",
    "twine": "run by tests/test_packaging.py",
    "hf": "of huggingface_hub: takes the hub",
    "perf_analyzer": "comes with NVIDIA's server",
    "polygraphy": "its lines are tested in tests/export/tensorrt/test_debug.py",
    "clip_guided_segmentation_loftup.py": "the PyTorch pipeline's script",
}


def pages(root: Path) -> list[Path]:
    """All pages of a checkout, those in folders below docs too."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


PAGES = pages(ROOT)


@dataclass(frozen=True)
class Block:
    """A block of code: `kind` is what stands behind the fence's ticks, or "indented"."""

    page: str
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def read_blocks() -> Iterator[Block]:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        found = [(match["kind"], match["text"]) for match in FENCE.finditer(text)]
        found += [("indented", match[0]) for match in INDENTED.finditer(FENCE.sub("", text))]
        for number, (kind, content) in enumerate(found):
            yield Block(path.relative_to(ROOT).as_posix(), number, kind, content)


def command_lines(text: str) -> list[list[str]]:
    """The words of each command of an indented block; what goes on in the next line is one command."""
    lines: list[str] = []
    for line in text.splitlines():
        own = line.removeprefix("    ")
        if lines and (own.startswith(" ") or lines[-1].endswith("\\")):
            lines[-1] = f"{lines[-1].rstrip(chr(92))} {own.strip()}"
        elif own:
            lines.append(own)
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]


def program(words: list[str]) -> tuple[str, list[str]]:
    """What a command starts, by its bare name, and its arguments; of `python ...` what Python runs."""
    name, *rest = words
    name = Path(name).name
    if name == "python":
        return (rest[1], rest[2:]) if rest[0] == "-m" else (rest[0], rest[1:])
    return name, rest


def is_tree(block: Block) -> bool:
    """Whether a block shows the files of a folder, which its first line names."""
    first = block.text.splitlines()[0].split()
    return len(first) == 1 and first[0].endswith("/")


BLOCKS = list(read_blocks())
FENCED = [block for block in BLOCKS if block.kind != "indented"]
PYTHON = [block for block in FENCED if FENCES.get(block.kind) in (RUN, COMPILED)]
SHELL = [block for block in BLOCKS if block.kind == "indented" and not is_tree(block)]
WORDMASK = [
    (f"{block}-{number}", arguments)
    for block in SHELL
    for number, (name, arguments) in enumerate(map(program, command_lines(block.text)))
    if name == "wordmask"
]
SYNOPSES = [(name, words) for name, words in WORDMASK if any(sign in word for word in words for sign in "[|")]
EXAMPLES = [(name, words) for name, words in WORDMASK if (name, words) not in SYNOPSES]


def can_run_here(words: list[str]) -> bool:
    args = make_parser().parse_args(words)
    local = getattr(args, "device", "cpu") == "cpu" and getattr(args, "ray", None) is None
    bundle = str(getattr(args, "bundle", None))
    elsewhere = bundle.startswith("hf:") or bundle.endswith(SUFFIX)
    return COMMANDS[words[0]] == RUN and local and not elsewhere


@cache
def commands_that_run() -> list[str]:
    """The first of those that have the same options, whatever their values."""
    found = {}
    for name, words in EXAMPLES:
        if can_run_here(words):
            options = [word for word in words if word.startswith("--")]
            found.setdefault((words[0], *sorted(options)), name)
    return list(found.values())


@pytest.fixture(scope="module")
def shared():
    return Segmenter("tiny", threads=1)


@pytest.fixture
def place(tmp_path, monkeypatch, shared):
    """A folder with what the pages speak of: photos, words, a bundle named default; models are loaded once for all."""
    for photo in ("photo.jpg", "photos/a.png", "PHOTO_OR_FOLDER...", "examples/photos/b.png"):
        path = tmp_path / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / "examples" / "scenes" / "04.png").read_bytes())
    (tmp_path / "examples" / "things").mkdir()
    (tmp_path / "examples" / "things" / "01.jpg").symlink_to(ROOT / "examples" / "things" / "01.jpg")
    for words in ("words.txt", "examples/photos/words.txt", "examples/things/words.txt"):
        (tmp_path / words).write_text("red dotted\ngreen striped\n")
    (tmp_path / "models_cache").mkdir()
    (tmp_path / "models_cache" / "default").symlink_to(find_bundle("tiny").resolve())

    def load(bundle=None, **settings):
        assert isinstance(bundle, Bundle) or find_bundle(bundle)
        return shared

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wordmask.pipeline.Segmenter", load)
    monkeypatch.setattr("wordmask.compat.guided_masks.Segmenter", load)
    return tmp_path


def test_every_block_is_of_a_kind_that_is_looked_at():
    assert {block.kind for block in FENCED} <= FENCES.keys()
    named = {name for block in SHELL for name, _ in map(program, command_lines(block.text))}
    modules = {name for name in named if name.partition(".")[0] in ("wordmask_bench", "wordmask_export", "pytest")}
    assert named - modules - OTHERS.keys() == {"wordmask"}
    assert [name for name in modules if find_spec(name) is None] == []


def test_folders_and_files_that_pytest_is_given_exist():
    lines = [words for block in SHELL for name, words in map(program, command_lines(block.text)) if name == "pytest"]
    named = [word for words in lines for word in words if word.startswith("tests/")]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def write_annotations(folder):
    """A run's annotations of one mask of two pixels."""
    code = encode(np.eye(2, dtype=bool))
    mask = {"size": code.size, "counts": code.counts}
    document = {"annotations": [{"category_id": 1, "score": 0.5, "segmentation": mask}]}
    folder.mkdir()
    (folder / "annotations.json").write_text(json.dumps(document | {"categories": [{"id": 1, "name": "cup"}]}))


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_blocks_run(block, place, capsys):
    code = compile(block.text, str(block), "exec")
    if block.page in ELSEWHERE:
        return
    if FENCES[block.kind] == RUN and not block.text.startswith(tuple(f"import {name}" for name in NOT_INSTALLED)):
        if "out/annotations.json" in block.text:
            write_annotations(place / "out")
        exec(code, {"__name__": str(block)})
    if block.page == "README.md":
        assert capsys.readouterr().out.splitlines() == PRINTED.findall(block.text)


@pytest.mark.parametrize(("name", "words"), [pytest.param(name, words, id=name) for name, words in EXAMPLES])
def test_commands_are_those_of_the_parser_and_cheap_ones_run(name, words, place, capsys):
    make_parser().parse_args(words)  # ends the test where the parser would
    if name in commands_that_run():
        assert main(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in SYNOPSES])
def test_a_synopsis_has_only_options_that_exist(words):
    options = set(re.findall(r"--[a-z][a-z0-9-]*", " ".join(words)))
    assert options - options_of(words[0]) == set()
    assert options


def test_commands_inside_sentences_have_only_options_that_exist():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    found = [line.split() for line in INLINE.findall(pages)]
    assert len(found) > 10
    for command, *words in found:
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options_of(command)


def options_of(command: str) -> set[str]:
    (commands,) = (action.choices for action in make_parser()._actions if action.choices)
    return set(commands[command]._option_string_actions)


def test_pages_of_all_depths_are_read(tmp_path):
    deep = tmp_path / "docs" / "a" / "b" / "page.md"
    deep.parent.mkdir(parents=True)
    deep.touch()
    assert deep in pages(tmp_path)


def test_the_readmes_table_of_models_has_the_figures_of_the_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tiny = sum(path.stat().st_size for path in (ROOT / "models_cache" / "tiny").iterdir() if path.suffix != ".md")
    assert f"| `tiny`, shipped | {tiny / 1e6:.0f} MB |" in readme
    cores = read_report(RESULTS / "bench-2-default.json")
    gpu = read_report(RESULTS / "h200-2026-11-27" / "after" / "bench-fp16.json")
    seconds = {side: times.median_ms / 1000 for side, times in cores.measurements[0].times.items()}
    on_gpu = gpu.measurements[0].times["wordmask cuda"].median_ms / 1000
    memory, side = cores.sides[0].peak_mb / 1024, gpu.sides[0]
    times = f"{seconds['wordmask cpu']:.0f} on 2 cores; {seconds['wordmask openvino:bf16']:.0f} with"
    assert f"| {memory:.1f} GiB | {times} `--device openvino:bf16` |" in readme
    used = f"GPU {side.gpu_mb / 1000:.0f} GB in fp16, host {side.peak_mb / 1024:.1f} GiB"
    assert f"| {used} | {on_gpu:.2f} on an H200 in fp16 |" in readme


def test_the_readme_can_be_read_in_ten_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


@pytest.mark.parametrize("path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in PAGES])
def test_links_lead_to_what_is_there(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


def test_messages_that_are_quoted_are_the_codes():
    rows = [row for path in TROUBLES for row in MESSAGE.findall(path.read_text(encoding="utf-8"))]
    quoted = re.findall(r"`([^`]+)`", "\n".join(rows))
    ours = [text for text in quoted if text not in OF_OTHERS]
    parts = [part.strip() for text in ours for part in text.split("\u2026") if len(part.strip()) > 3]
    assert len(parts) > 30
    texts = messages()
    assert [part for part in parts if part not in texts] == []


def messages() -> str:
    """All texts in the code; what an f-string fills in is left out."""
    found = []
    for path in [*(ROOT / "runtime").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("\0".join(part.value for part in node.values if isinstance(part, ast.Constant)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)
