"""The manifest's parser: what it reads back, and that it names the field that is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wordmask.bundle.manifest import Backbone, FeaturesManifest, Manifest, Tensor, bundle_id
from wordmask.bundle.manifest_reading import parse, read_any_manifest, read_manifest
from wordmask.errors import ManifestError

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"


def sealed() -> Manifest:
    return read_manifest(TINY)


def test_what_is_written_is_read_back():
    manifest = sealed()
    assert parse(manifest.to_json()) == manifest
    assert manifest.graphs["clip_text"].inputs == (Tensor("tokens", "int32", ("T", "L")),)


def test_a_whole_number_may_stand_for_a_float():
    assert parse(edit(["parity"], {"a": 1})).parity == {"a": 1.0}


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
        (["schema"], 2, "schema is 2, this version of wordmask reads 3"),
        (["schema"], ..., "schema is None"),
        (["schema"], "1", "schema is '1'"),
        (["clip", "window"], "64", r"manifest\.clip\.window is '64', expected int"),
        (["clip", "window"], True, r"manifest\.clip\.window is True, expected int"),
        (["clip", "stride"], ..., r"manifest\.clip\.stride is missing"),
        (["clip", "colour"], 1, r"manifest\.clip\.colour is not a field"),
        (["\x1b[2J"], 1, r"manifest\['\\x1b\[2J'\] is not a field"),
        (["clip", "attention"], "magic", r"manifest\.clip\.attention is 'magic', expected one of 'csa', 'maskclip'"),
        (["clip", "templates"], "a {}", r"manifest\.clip\.templates is 'a \{\}', expected list"),
        (["graphs", "clip_text", "inputs", 0, "dtype"], "float64", r"inputs\[0\]\.dtype is 'float64'"),
        (["graphs", "clip_text", "inputs", 0, "shape"], [1.5], r"inputs\[0\]\.shape\[0\] is 1\.5, expected int or str"),
        (["graphs", "clip_text"], [], r"manifest\.graphs\.clip_text is \[\], expected dict"),
        (["loftup"], 3, r"manifest\.loftup is 3, expected dict"),
        (["sam2", "mask_threshold"], None, r"manifest\.sam2\.mask_threshold is None, expected float"),
        (["clip", "logit_scale"], 10**400, r"manifest\.clip\.logit_scale is 1000.*\.\.\., expected a finite number"),
    ],
)
def test_a_wrong_field_is_named(path, value, message):
    with pytest.raises(ManifestError, match=message):
        parse(edit(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["clip", "stride"], 0, r"manifest\.clip\.stride is 0, expected 1 to"),
        (["clip", "stride"], 129, r"manifest\.clip\.stride is 129, expected at most window, 128"),
        (["clip", "window"], 100, r"manifest\.clip\.window is 100, expected a multiple of patch, 16"),
        (["clip", "short_side"], 10**9, r"manifest\.clip\.short_side is 1000000000, expected 1 to"),
        (["clip", "long_side"], 32, r"manifest\.clip\.long_side is 32, expected at least short_side"),
        (["clip", "logit_scale"], -1, r"manifest\.clip\.logit_scale is -1\.0, expected a positive number"),
        (["clip", "context_length"], 2, r"manifest\.clip\.context_length is 2, expected 3"),
        (["clip", "templates"], [], r"manifest\.clip\.templates is \(\), expected at least one"),
        (["clip", "templates"], ["a photo"], r"manifest\.clip\.templates\[0\] is 'a photo', expected a text with"),
        (["clip", "merges", "file"], "../merges", r"manifest\.clip\.merges\.file is '\.\./merges', expected the name"),
        (["graphs", "loftup", "file"], "/etc/x.onnx", r"graphs\.loftup\.file is '/etc/x\.onnx', expected the name"),
        (["graphs", "loftup", "file"], "a\\b.onnx", r"graphs\.loftup\.file is 'a\\\\b\.onnx', expected the name"),
        (["graphs", "loftup", "file"], "loftup.ort", r"graphs\.loftup\.file is 'loftup\.ort', .* ends with \.onnx"),
        (["graphs", "loftup", "sha256"], "0" * 63, r"graphs\.loftup\.sha256 is '0+', expected 64 hexadecimal"),
        (["graphs", "loftup", "size"], -1, r"graphs\.loftup\.size is -1, expected a number of bytes"),
        (["graphs", "clip_text"], ..., r"graphs\.clip_text is missing: the runtime needs this graph"),
        (["loftup"], None, r"graphs\.loftup is not a graph that this version knows"),
        (["loftup", "phases"], [[], []], r"manifest\.loftup\.phases is \(\(\), \(\)\), expected 2 blocks"),
        (["sam2", "image_size"], 0, r"manifest\.sam2\.image_size is 0, expected 1 to"),
        (
            ["sam2", "mask_size"],
            3,
            r"sam2_decoder\.outputs\[0\]\.shape is \('N', 4, \d+, \d+\), expected \(any, 4, 3, 3\)",
        ),
        (["graphs", "clip_text", "inputs"], [], r"clip_text\.inputs is \[\], expected tensors named tokens"),
        (["graphs", "clip_image", "inputs", 0, "shape", 1], 64, r"clip_image\.inputs\[0\]\.shape is .*128, 128, 3\)"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(path, value, message):
    """Such a manifest can only be made on purpose: its bundle id would fit."""
    with pytest.raises(ManifestError, match=message):
        parse(edit(path, value))


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"schema": NaN}', "NaN is no number"), ('{"schema": 1, "schema": 1}', "'schema' occurs twice")],
    ids=["nan", "twice"],
)
def test_json_that_not_everybody_reads_alike_is_refused(text, message):
    with pytest.raises(ManifestError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, "9" * 5000])
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


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_manifest_that_is_no_plain_file_is_refused_without_being_opened(tmp_path, kind):
    path = tmp_path / "manifest.json"
    if kind == "link":
        path.symlink_to(TINY / "manifest.json")
    else:
        (os.mkfifo if kind == "pipe" else os.mkdir)(path)
    with pytest.raises(ManifestError, match=r"manifest\.json: is not a regular file"):
        read_manifest(tmp_path)


def test_a_manifest_without_end_is_not_read_to_it(tmp_path):
    (tmp_path / "manifest.json").touch()
    os.truncate(tmp_path / "manifest.json", 1 << 40)
    with pytest.raises(ManifestError, match="has more than 16 MiB"):
        read_manifest(tmp_path)


def features_manifest(**changed):
    """Of a bundle for features: tiny's loftup_features behind another encoder."""
    tiny = sealed()
    encoder = tiny.graphs["clip_image"]
    backbone = Backbone("dinov2s", tiny.clip.dim, tiny.clip.patch, tiny.clip.window)
    graphs = {"backbone_image": encoder, "loftup_features": tiny.graphs["loftup_features"]}
    facts = {"schema": 3, "kind": "features", "bundle_id": "", "domain": "random", "precision": "fp32"}
    facts |= {"graphs": graphs, "models": {}, "backbone": backbone, "loftup": tiny.loftup, **changed}
    return FeaturesManifest(**facts).sealed()


def test_a_manifest_for_features_is_read_back_and_either_kind_is_told_apart(tmp_path):
    manifest = features_manifest()
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    assert read_any_manifest(tmp_path) == manifest
    assert read_any_manifest(TINY) == sealed()
    with pytest.raises(ManifestError, match=r"manifest\.json: kind is 'features'.*wordmask features"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "masks"}, r"manifest\.kind is 'masks', expected one of 'features'"),
        ({"backbone": Backbone("dinov2s", 48, 14, 128)}, r"backbone\.window is 128, expected a multiple of patch, 14"),
        ({"backbone": Backbone("dinov2s", 64, 16, 128)}, r"graphs\.backbone_image\.outputs\[0\]\.shape is .*any, 64,"),
        ({"backbone": Backbone("dinov2s", 0, 16, 128)}, r"backbone\.dim is 0"),
        ({"loftup": None}, r"manifest\.loftup is None, expected dict"),
        ({"graphs": {}}, r"graphs\.backbone_image is missing"),
        ({"schema": 9}, "schema is 9"),
    ],
    ids=["kind", "patch", "dim", "size", "loftup", "graphs", "schema"],
)
def test_what_is_wrong_in_a_manifest_for_features_is_named(tmp_path, changed, message):
    (tmp_path / "manifest.json").write_text(features_manifest(**changed).to_json())
    with pytest.raises(ManifestError, match=message):
        read_any_manifest(tmp_path)


def test_a_manifest_for_features_that_was_edited_or_has_another_graph_is_refused(tmp_path):
    edited = features_manifest().to_json().replace('"random"', '"photos"')
    (tmp_path / "manifest.json").write_text(edited)
    with pytest.raises(ManifestError, match="bundle_id"):
        read_any_manifest(tmp_path)
    graphs = features_manifest().graphs
    more = features_manifest(graphs={**graphs, "clip_text": graphs["backbone_image"]})
    (tmp_path / "manifest.json").write_text(more.to_json())
    with pytest.raises(ManifestError, match="clip_text is not a graph that this version knows"):
        read_any_manifest(tmp_path)
