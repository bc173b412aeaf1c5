"""An S3 server in this process that lists objects with milliseconds, as others do; moto's own lists whole seconds."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from moto.core.serialize import TimestampSerializer
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def s3_server() -> Iterator[Any]:
    """Found through the environment as a real one is; gives its file system, which has an empty bucket `bucket`."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(TimestampSerializer, "ISO8601_MICRO_ZEROED", "%Y-%m-%dT%H:%M:%S.285Z")
        with urllib.request.urlopen(f"{url}/moto-api/reset", data=b""):  # what it holds belongs to the process
            files = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        files.mkdir("bucket")
        try:
            yield files
        finally:
            type(files).clear_instance_cache()  # those that fsspec keeps ask this server
            server.stop()
