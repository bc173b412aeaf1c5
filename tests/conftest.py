"""Fixtures shared by all tests: a small bundle of narrow random models, built once, and real photos."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import hub_server
from wordmask.bundle.domains import warn_of_weights
from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
SHARED_PHOTOS = ROOT.parent / "shared" / "images"


def pytest_configure() -> None:
    """One thread for torch's and numpy's products in each of pytest's processes, and in those that tests start.

    The processes share the cores, and a thread that waits for another keeps a core busy.
    """
    for name in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: what starts last keeps one process busy while the others have nothing left to do.

    Servers come next: while one process waits for them, others have the cores for the models. The rehearsal makes the
    small bundle, for which others would have to wait later.
    """
    first = ("full_size", "rehearsal", "servers")
    items.sort(key=lambda item: [item.get_closest_marker(marker) is None for marker in first])


def pytest_collection_finish() -> None:
    """torch repeats the warnings that it gives once a process: which test they fail does not depend on the order."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_warn_always(True)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the tests out of the user's cache of word embeddings."""
    os.environ["WORDMASK_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _warned_of_no_bundle() -> None:
    """Warnings that come once per bundle and process: which test gets them does not depend on the order."""
    warn_of_weights.cache_clear()


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples" / "photos"


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """Larger real photos that do not stand in the repository."""
    if not SHARED_PHOTOS.is_dir():
        pytest.skip(f"{SHARED_PHOTOS} is not there")
    return SHARED_PHOTOS


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """An empty Hugging Face hub on this machine, which huggingface_hub asks in this process; see hub_server."""
    pytest.importorskip("huggingface_hub")
    with hub_server.running() as running:
        running.use(monkeypatch, tmp_path / "hf_home")
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


@pytest.fixture(scope="session")
def small_choice():
    pytest.importorskip("torch")
    from wordmask_export.models.pipeline import Choice

    return Choice(clip=str(DATA / "small_clip.json"), sam2=str(DATA / "small_sam2.yaml"), weights="random:0")


@pytest.fixture(scope="session")
def small_protocol():
    from wordmask_export.graphs.specs import Protocol

    return Protocol(window=64, stride=32, short_side=96, long_side=256)


@pytest.fixture(scope="session")
def small_models(small_choice):
    """The PyTorch models the small bundle is made of: the same seed gives the same weights."""
    from wordmask_export.models.pipeline import load

    return load(small_choice)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder by its name for all of pytest's processes: the first that asks makes it, the others wait."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def make(name: str, build: Callable[[Path], object]) -> Path:
        out = folder / name
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not out.exists():
                build(out)
        return out

    return make


@pytest.fixture(scope="session")
def fast_tiny(made_once) -> Path:
    """The shipped bundle with few windows a photo: for what needs trained weights, but not their best results."""

    def make(out: Path) -> None:
        shutil.copytree(ROOT / "models_cache" / "tiny", out)
        manifest = read_manifest(out)
        clip = replace(manifest.clip, stride=manifest.clip.window, short_side=3 * manifest.clip.window)
        (out / FILE_NAME).write_text(replace(manifest, clip=clip).sealed().to_json(), encoding="utf-8")

    return made_once("fast_tiny", make)


@pytest.fixture(scope="session")
def small_bundle(small_choice, small_protocol, made_once) -> Path:
    from wordmask_export.build import build

    return made_once("small", lambda out: build(out, small_choice, small_protocol, report=lambda text: None))


@pytest.fixture(scope="session")
def mask_prompt_bundle(small_bundle, small_models, small_protocol, made_once) -> Path:
    """The small bundle, built with --mask-prompts."""
    from wordmask_export.graphs.onnx_export import export
    from wordmask_export.graphs.specs import specs

    def make(out: Path) -> None:
        shutil.copytree(small_bundle, out)
        *_, spec = specs(small_models, replace(small_protocol, mask_prompts=True))
        manifest = read_manifest(out)
        with_graph = replace(manifest, graphs={**manifest.graphs, spec.name: export(spec, out)}).sealed()
        (out / FILE_NAME).write_text(with_graph.to_json(), encoding="utf-8")

    return made_once("mask_prompts", make)


@pytest.fixture(scope="session")
def features_bundle(made_once) -> Path:
    """A bundle for features alone: DINOv2 with registers, narrow, with random weights."""
    pytest.importorskip("torch")
    from wordmask_export.build_features import build_features
    from wordmask_export.models.backbones import BackboneChoice

    sizes = {"embed_dim": 32, "depth": 1, "num_heads": 2}
    choice = BackboneChoice("dinov2s_reg", weights="random:3", sizes=sizes)
    return made_once("features", lambda out: build_features(out, choice, window=70, report=lambda text: None))


@pytest.fixture(scope="session")
def segmenter(small_bundle: Path):
    from wordmask import Segmenter

    return Segmenter(small_bundle)
