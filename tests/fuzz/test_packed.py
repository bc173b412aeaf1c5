"""A packed bundle with any damage is opened, with the files that were packed, or refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from fuzzing import fuzz
from wordmask.bundle.unpacking import SUMS_NAME, unpacked
from wordmask.errors import BundleError

FILES = {"manifest.json": b"{}", "graph.onnx": b"weights" * 9}


def archive() -> bytes:
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in FILES.items())
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as out:
        for name, content in {**FILES, SUMS_NAME: sums.encode()}.items():
            out.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


WHOLE = archive()
odd = st.sampled_from(
    [b"", b"\0", b"\xff", b"\xff" * 4, b"\0" * 4, b"PK\1\2", b"PK\5\6", b"\xff\xff\xff\x7f"]
) | st.binary(max_size=8)
changes = st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 8), odd), min_size=1, max_size=4)


@fuzz(changes, examples=100)
def test_a_packed_bundle_is_opened_or_refused(cuts: list[tuple[int, int, bytes]], folder: Path) -> None:
    content = WHOLE
    for place, length, instead in cuts:
        content = content[:place] + instead + content[place + length :]
    (folder / "b.wordmask").write_bytes(content)
    with mock.patch.dict(os.environ, WORDMASK_CACHE=str(folder / "cache")), contextlib.suppress(BundleError):
        found = unpacked(folder / "b.wordmask")
        assert {path.name: path.read_bytes() for path in found.iterdir()} == FILES
