"""Outputs in an object store."""

from __future__ import annotations

import pytest

from wordmask.errors import OutputError
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.photo.url import Url


def test_a_remote_folder_keeps_finds_and_removes_what_was_written(memory):
    out = RemoteFolder(Url("memory://out/run"))
    out.write({"semantic/a/b.png": [b"1", b"2"], "run.json": [b"{}"]})
    memory.pipe_file("/out/run/semantic/mine.png", b"mine")
    assert memory.cat("/out/run/semantic/a/b.png") == b"12"
    assert list(out.read(["run.json", "semantic/a/b.png"])) == [b"{}", b"12"]
    stands = out.inventory(["", "semantic", "overlay"])
    assert [stands(name) for name in ("run.json", "semantic/a/b.png", "overlay/a/b.jpg")] == [True, True, False]
    out.remove(["semantic/a/b.png", "overlay/a/b.jpg", "run.json", "absent.json"])
    assert memory.find("/out") == ["/out/run/semantic/mine.png"]
    with pytest.raises(OutputError, match=r"cannot read memory://out/run/run\.json: it is not there"):
        list(out.read(["run.json"]))


def test_names_that_would_be_patterns_are_names(memory):
    out = RemoteFolder(Url("memory://out/run [1]"))
    names = [f"semantic/{name}.png" for name in ("a", "b1", "b[1]", "c?", "cx", "d*", "dd", "**", "[", "e#f%20")]
    out.write({name: [name.encode()] for name in names})
    assert list(out.read(names)) == [name.encode() for name in names]
    odd = ["semantic/b[1].png", "semantic/c?.png", "semantic/d*.png", "semantic/**.png"]
    out.remove(odd)
    stands = out.inventory(["semantic"])
    assert [name for name in names if not stands(name)] == odd
