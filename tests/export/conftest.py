"""Fixtures of the exporters' tests: a compiler that needs no GPU, and the full-size bundle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
def full_bundle(made_once) -> Path:
    """ViT-B/16, LoftUp for CLIP and SAM2.1 tiny with random weights; one window a square photo."""
    from wordmask.cli.main import main

    options = ("--sam2", "sam2.1_hiera_tiny", "--weights", "random:0", "--short-side", "224")

    def build(out: Path) -> None:
        assert main(["build", str(out), *options]) == 0

    return made_once("full", build)
