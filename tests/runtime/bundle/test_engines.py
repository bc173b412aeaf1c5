"""Engines beside a bundle: keys, what is found for a machine, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import pytest

from wordmask.bundle.engines import (
    FOLDER,
    PLAN,
    SCHEMA,
    SIDECAR,
    Range,
    Request,
    Sidecar,
    Target,
    find_engine,
    read_plan,
    read_sidecar,
    shape_of,
    sidecars,
)
from wordmask.bundle.manifest import File, GraphEntry, Tensor
from wordmask.errors import EngineError

HERE = Target("11.4.0.106", "sm_90")
ENTRY = GraphEntry("clip_image.onnx", "a" * 64, 10, (Tensor("image", "uint8", ("B", 8, 8, 3)),), ())
REQUEST = Request("clip_image", ENTRY.sha256, "fp16", ({"B": Range(1, 1, 1)}, {"B": Range(8, 8, 8)}), HERE)


def place(bundle, request=REQUEST, plan=b"plan"):
    """Writes an engine as a build does."""
    folder = bundle / FOLDER / request.key
    folder.mkdir(parents=True, mode=0o755)
    (folder / PLAN).write_bytes(plan)
    entry = File(PLAN, hashlib.sha256(plan).hexdigest(), len(plan))
    sidecar = Sidecar(SCHEMA, request, entry, "NVIDIA H200", {"HALF": 3}, 1.5)
    (folder / SIDECAR).write_text(sidecar.to_json())
    return folder


def test_what_was_built_is_found_and_read(tmp_path):
    folder = place(tmp_path)
    found, sidecar = find_engine(tmp_path, "clip_image", ENTRY, "fp16", HERE)
    assert found == folder
    assert sidecar.request == REQUEST
    assert read_plan(found, sidecar) == b"plan"


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "b" * 64},
        {"precision": "bf16"},
        {"profiles": ({"B": Range(1, 1, 1)},)},
        {"target": Target("11.5.0", "sm_90")},
        {"target": Target("11.4.0.106", "sm_89")},
    ],
)
def test_all_that_an_engine_is_built_for_is_in_its_key(change):
    assert dataclasses.replace(REQUEST, **change).key != REQUEST.key


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"onnx_sha256": "b" * 64}, "of another build of the bundle"),
        ({"precision": "bf16"}, "bf16 for sm_90 and TensorRT 11.4.0.106"),
        ({"target": Target("10.13.0", "sm_90")}, "TensorRT 10.13.0"),
        ({"target": Target("11.4.0.106", "sm_89")}, "sm_89"),
    ],
)
def test_an_engine_for_something_else_is_never_taken(tmp_path, change, said):
    place(tmp_path, dataclasses.replace(REQUEST, **change))
    with pytest.raises(EngineError, match="wordmask engines") as error:
        find_engine(tmp_path, "clip_image", ENTRY, "fp16", HERE)
    assert said in str(error.value)


def test_a_plan_that_was_changed_is_refused(tmp_path):
    folder = place(tmp_path)
    (folder / PLAN).write_bytes(b"evil")
    with pytest.raises(EngineError, match="sha256"):
        read_plan(folder, read_sidecar(folder))


@pytest.mark.parametrize("mode", [0o666, 0o664])
@pytest.mark.parametrize("what", ["plan", "folder", "engines"])
def test_what_others_may_write_is_refused(tmp_path, mode, what):
    folder = place(tmp_path)
    path = {"plan": folder / PLAN, "folder": folder, "engines": folder.parent}[what]
    path.chmod(mode | 0o111 if path.is_dir() else mode)
    with pytest.raises(EngineError, match="others may write it"):
        read_plan(folder, read_sidecar(folder))


def test_a_link_is_refused(tmp_path):
    folder = place(tmp_path)
    (folder / PLAN).rename(tmp_path / "elsewhere")
    (folder / PLAN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="is a link"):
        read_plan(folder, read_sidecar(folder))


def test_a_plan_that_is_no_plain_file_is_refused_without_being_opened(tmp_path):
    folder = place(tmp_path)
    (folder / PLAN).unlink()
    os.mkfifo(folder / PLAN, 0o600)
    with pytest.raises(EngineError, match="not the plan that was built"):
        read_plan(folder, read_sidecar(folder))


def test_another_users_plan_is_refused(tmp_path, monkeypatch):
    folder = place(tmp_path)
    owner = os.stat(folder).st_uid  # noqa: PTH116
    if owner == 0:
        os.chown(folder / PLAN, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(EngineError, match="belongs to user"):
        read_plan(folder, read_sidecar(folder))


def test_a_missing_plan_is_an_error_that_says_so(tmp_path):
    folder = place(tmp_path)
    sidecar = read_sidecar(folder)
    (folder / PLAN).unlink()
    with pytest.raises(EngineError, match="build the engine again"):
        read_plan(folder, sidecar)


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.update(schema=SCHEMA + 1),
        lambda raw: raw["request"].update(precision="fp32"),  # the key no longer fits
        lambda raw: raw["plan"].update(file="../../other.plan"),
        lambda raw: raw.pop("layers"),
        lambda raw: raw["request"]["profiles"][0]["B"].update(minimum="1"),
    ],
)
def test_a_sidecar_that_was_edited_is_not_used(tmp_path, edit):
    folder = place(tmp_path)
    raw = json.loads((folder / SIDECAR).read_text())
    edit(raw)
    (folder / SIDECAR).write_text(json.dumps(raw))
    with pytest.raises(EngineError):
        read_sidecar(folder)
    assert list(sidecars(tmp_path)) == []


def test_shapes_follow_from_symbols():
    assert shape_of(ENTRY.inputs[0], {"B": 4}) == (4, 8, 8, 3)
    assert shape_of(Tensor("logits", "float32", ("B", "H")), {"B": 4, "H+4": 20}) == (4, 16)
