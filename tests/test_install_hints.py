"""Messages say what to install in a way that works: extras that exist, of the checkout, as nothing is on PyPI yet."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from wordmask.errors import MissingExtraError, install_hint

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for top in ("runtime", "export", "benchmarks") for path in (ROOT / top).rglob("*.py")]
RELEASE = ROOT / "docs" / "release.md"  # says what will be
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in (ROOT / "docs").rglob("*.md") if page != RELEASE),
]
OF_PYPI = re.compile(r"wordmask\[|pip install (?:-\S+ )*['\"]?wordmask\b(?!` comes with)")
EXTRA = re.compile(
    r"install_hint\([\"']([\w,]+)[\"']\)|MissingExtraError\([^,]+, \"(\w+)\"|extras\.need\([^,]+, \"(\w+)\""
)


def extras() -> set[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(parser["options.extras_require"])


def test_no_message_and_no_page_names_a_package_that_is_not_on_pypi() -> None:
    found = {path.name: OF_PYPI.findall(path.read_text(encoding="utf-8")) for path in (*SOURCES, *PAGES)}
    assert len(found) > 200
    assert {name: places for name, places in found.items() if places} == {}
    assert OF_PYPI.search("pip install 'wordmask[gpu]'")
    assert OF_PYPI.search("pip install wordmask")


def test_every_extra_that_a_message_names_exists() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = {extra for match in EXTRA.findall(text) for group in match for extra in group.split(",") if extra}
    assert {"cpu", "gpu", "trt", "openvino", "export", "hub", "ray", "demo"} <= named
    assert named <= extras()


def test_a_missing_package_is_told_with_the_command_that_installs_it() -> None:
    assert install_hint("cpu,hub") == "pip install '.[cpu,hub]'"
    message = (
        "wordmask demo needs the package 'gradio', which is not installed: pip install '.[demo]' in wordmask's checkout"
    )
    assert str(MissingExtraError("wordmask demo", "demo", "gradio")) == message


@pytest.mark.parametrize(
    ("device", "blocked", "extra"),
    [
        ("cpu", "onnxruntime", "cpu"),
        ("cuda", "onnxruntime", "gpu"),
        ("openvino", "openvino", "openvino"),
        ("openvino:bf16", "openvino", "openvino"),
        ("tensorrt", "tensorrt", "trt"),
    ],
)
def test_the_extra_that_is_named_is_the_devices(monkeypatch: pytest.MonkeyPatch, device: str, blocked: str, extra: str):
    from wordmask.backends.device import parse_device
    from wordmask.backends.load import load_graph
    from wordmask.bundle.opening import open_bundle

    monkeypatch.setitem(__import__("sys").modules, blocked, None)
    with pytest.raises(MissingExtraError) as caught:
        load_graph(open_bundle("tiny"), "clip_text", parse_device(device))
    assert install_hint(extra) in str(caught.value)


def test_cuda_beside_the_cpus_runtime_says_to_remove_that_first() -> None:
    from wordmask.backends.onnxruntime.graph import execution_provider
    from wordmask.errors import DeviceError

    class OfTheCpu:
        @staticmethod
        def get_available_providers() -> list[str]:
            return ["CPUExecutionProvider"]

    with pytest.raises(DeviceError, match=r"pip uninstall onnxruntime, then pip install '\.\[gpu\]'"):
        execution_provider(OfTheCpu, "cuda")
