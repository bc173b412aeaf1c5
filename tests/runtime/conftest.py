"""Fixtures of the runtime's tests."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_file(data: bytes, name: str = "photo.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An object store in this process, empty."""
    fsspec = pytest.importorskip("fsspec", reason="the extra ray is not installed")
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An S3 server found through the environment as a real one is: its file system, with an empty bucket `bucket`.

    It lists objects with milliseconds, as others do; moto's own lists whole seconds.
    """
    fsspec = pytest.importorskip("fsspec", reason="the extra ray is not installed")
    pytest.importorskip("s3fs", reason="the extra ray is not installed")
    serialize = pytest.importorskip("moto.core.serialize", reason="no S3 to test with")
    server = pytest.importorskip("moto.server", reason="no S3 to test with").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(serialize.TimestampSerializer, "ISO8601_MICRO_ZEROED", "%Y-%m-%dT%H:%M:%S.285Z")
    with urllib.request.urlopen(f"{url}/moto-api/reset", data=b""):  # what it holds belongs to the process
        files = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    files.mkdir("bucket")
    yield files
    type(files).clear_instance_cache()  # those that fsspec keeps ask this server
    server.stop()
