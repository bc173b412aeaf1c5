"""Fixtures of the exporters' tests: a compiler that needs no GPU, and the full-size bundle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import hub_server
import tensorrt_standin as standin


@pytest.fixture(scope="session")
def trt_standin():
    """TensorRT's compiler without a GPU; kept in the user's cache, as its packages are large."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        return standin.assemble(cache / "wordmask-tests" / "trt-standin")
    except standin.UnreachableError as error:
        pytest.skip(f"the packages of the TensorRT stand-in cannot be fetched: {error}")


@pytest.fixture(scope="session")
def full_bundle(made_once, tmp_path_factory) -> Path:
    """ViT-B/16, LoftUp for CLIP and SAM2.1 tiny from a hub on this machine, with random weights; one window a photo."""
    from published_weights import publish, write
    from wordmask.cli.main import main
    from wordmask_export.models.pipeline import Choice, load

    sam2 = "sam2.1_hiera_tiny"

    def build(out: Path) -> None:
        folder = tmp_path_factory.mktemp("published")
        with hub_server.running() as hub, pytest.MonkeyPatch.context() as patch:
            hub.use(patch, folder / "hf_home")
            publish(hub, write(load(Choice(sam2=sam2, weights="random:0")), folder, sam2))
            assert main(["build", str(out), "--sam2", sam2, "--short-side", "224"]) == 0
        shutil.rmtree(folder)

    return made_once("full", build)
