"""manifest.json and engine.json: whatever they hold, they are read, or one ManifestError names the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import fuzz
from wordmask.bundle.engines import SIDECAR, Range, Request, Sidecar, Target, read_sidecar
from wordmask.bundle.manifest import File
from wordmask.bundle.manifest_reading import FILE_NAME, parse, read_manifest
from wordmask.errors import EngineError, ManifestError

TINY = Path(__file__).resolve().parents[2] / "models_cache" / "tiny"
MANIFEST = (TINY / FILE_NAME).read_text(encoding="utf-8")
REQUEST = Request("loftup", "a" * 64, "fp16", ({"B": Range(1, 1, 1)},), Target("11.4.0", "sm_90"))
ENGINE = Sidecar(1, REQUEST, File("engine.plan", "b" * 64, 4), "GPU", {"HALF": 3}, 1.5).to_json()

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
values = st.recursive(
    scalars | st.sampled_from([10**400, -1, 0, 2**63, "..", "/", "a\0b", [], {}]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn, text: str) -> str:
    """Valid JSON of the right form with up to three members replaced, removed, added or named anew."""
    document = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        for _ in range(draw(st.integers(0, 5))):
            inner = [v for v in (place.values() if isinstance(place, dict) else place) if v and type(v) in (dict, list)]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        key = draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))) if place else st.none()
        )
        if key is None:
            continue
        action = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "remove":
            del place[key]
        elif action == "add" and isinstance(place, dict):
            place[draw(st.text(st.characters(exclude_categories=())))] = draw(values)
        else:
            place[key] = draw(values)
    return json.dumps(document)


def said(error: Exception) -> None:
    """A message is one line that steers no terminal."""
    assert str(error).isprintable(), repr(str(error))


@fuzz(edited(MANIFEST) | st.text() | values.map(json.dumps), examples=150)
def test_a_manifest_is_read_or_refused(text: str, folder: Path) -> None:
    try:
        manifest = parse(text)
    except ManifestError as error:
        said(error)
        return
    assert parse(manifest.to_json()) == manifest


@fuzz(st.binary() | edited(MANIFEST).map(str.encode), examples=60)
def test_a_manifest_file_is_read_or_refused(content: bytes, folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(content)
    try:
        read_manifest(folder)
    except ManifestError as error:
        said(error)


@fuzz(edited(ENGINE).map(str.encode) | st.binary(), examples=100)
def test_an_engines_sidecar_is_read_or_refused(content: bytes, folder: Path) -> None:
    (folder / SIDECAR).write_bytes(content)
    try:
        sidecar = read_sidecar(folder)
    except EngineError as error:
        said(error)
    else:
        assert sidecar.request.key == folder.name
