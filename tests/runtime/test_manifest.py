"""The manifest's parser: what it reads back, and that it names the field that is wrong."""

from __future__ import annotations

import json

import pytest

from wordmask.errors import ManifestError
from wordmask.manifest import Manifest, bundle_id, parse, read_manifest
from wordmask.strict import parse_as

DIGEST = "0" * 64
CLIP = {
    "dim": 4, "patch": 16, "window": 64, "stride": 32, "short_side": 96, "long_side": 256, "attention": "csa",
    "logit_scale": 40, "context_length": 77, "templates": ["a {}."],
    "merges": {"file": "m.gz", "sha256": DIGEST, "size": 1},
}  # fmt: skip
GRAPH = {
    "file": "clip_text.onnx", "sha256": DIGEST, "size": 3,
    "inputs": [{"name": "tokens", "dtype": "int32", "shape": ["T", 77]}],
    "outputs": [{"name": "embeddings", "dtype": "float32", "shape": ["T", 4]}],
}  # fmt: skip


def raw() -> dict:
    return {
        "schema": 2, "bundle_id": "", "domain": "photos", "precision": "fp32", "graphs": {"clip_text": GRAPH},
        "models": {}, "clip": CLIP, "loftup": None,
        "sam2": {"image_size": 256, "mask_size": 64, "mask_threshold": 0.0}, "parity": {"a": 1}, "tools": {},
    }  # fmt: skip


def sealed() -> Manifest:
    """The manifest above with its id filled in."""
    try:
        return parse(json.dumps(raw()))
    except ManifestError:
        return parse_as(Manifest, raw(), "manifest").sealed()


def test_what_is_written_is_read_back():
    manifest = sealed()
    assert parse(manifest.to_json()) == manifest
    assert manifest.clip.logit_scale == 40.0
    assert manifest.graphs["clip_text"].inputs[0].shape == ("T", 77)
    assert manifest.parity == {"a": 1.0}


def edit(path, value):
    """The sealed manifest's JSON with one field replaced, or removed where the value is ...."""
    document = json.loads(sealed().to_json())
    *parents, last = path
    place = document
    for step in parents:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], 3, "schema is 3"),
        (["clip", "window"], "64", r"manifest\.clip\.window is str '64', expected int"),
        (["clip", "window"], True, r"manifest\.clip\.window is bool True, expected int"),
        (["clip", "stride"], ..., r"manifest\.clip\.stride is missing"),
        (["clip", "colour"], 1, r"manifest\.clip\.colour is not a field"),
        (["clip", "attention"], "magic", r"manifest\.clip\.attention is 'magic', expected one of 'csa', 'maskclip'"),
        (["clip", "templates"], "a {}", r"manifest\.clip\.templates is str 'a \{\}', expected list"),
        (["graphs", "clip_text", "inputs", 0, "dtype"], "float64", r"inputs\[0\]\.dtype is 'float64'"),
        (["graphs", "clip_text", "inputs", 0, "shape"], [1.5], r"inputs\[0\]\.shape\[0\] is 1\.5, expected int or str"),
        (["graphs", "clip_text"], [], r"manifest\.graphs\.clip_text is list \[\], expected dict"),
        (["loftup"], 3, r"manifest\.loftup is int 3, expected dict"),
        (["sam2", "mask_threshold"], None, r"manifest\.sam2\.mask_threshold is NoneType None, expected float"),
    ],
)
def test_a_wrong_field_is_named(path, value, message):
    with pytest.raises(ManifestError, match=message):
        parse(edit(path, value))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000])
def test_what_is_no_manifest_at_all_is_refused(text):
    with pytest.raises(ManifestError):
        parse(text)


def test_a_changed_constant_no_longer_fits_the_bundle_id():
    with pytest.raises(ManifestError, match="bundle_id"):
        parse(edit(["clip", "logit_scale"], 41.0))


def test_parity_and_tools_do_not_change_the_bundle_id():
    manifest = sealed()
    assert bundle_id(parse(edit(["parity"], {"b": 2.0}))) == manifest.bundle_id
    assert bundle_id(parse(edit(["tools"], {"torch": "9"}))) == manifest.bundle_id


def test_a_missing_or_binary_file_is_reported_by_path(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(tmp_path)
