"""The manifest of a bundle for features only: a backbone and its LoftUp, without words and masks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from wordmask.manifest import (
    File,
    Graph,
    Loftup,
    Manifest,
    Model,
    bundle_id,
    check_id,
    check_schema,
    json_of,
    parse_pipeline,
    read_with,
)
from wordmask.manifest_check import check_features
from wordmask.strict import parse_as


@dataclass(frozen=True)
class Backbone:
    """A photo's encoder; sizes in pixels.

    Attributes:
        name: as `wordmask build --backbone` has it.
        dim: channels of the features.
        patch: side of a patch.
        window: side of the square it takes.
    """

    name: str
    dim: int
    patch: int
    window: int


@dataclass(frozen=True)
class FeaturesManifest:
    """All of such a bundle's manifest.json; see wordmask.manifest.Manifest."""

    schema: int
    kind: Literal["features"]
    bundle_id: str
    domain: Literal["photos", "synthetic", "random"]
    precision: Literal["fp32", "fp16"]
    graphs: dict[str, Graph]
    models: dict[str, Model]
    backbone: Backbone
    loftup: Loftup
    parity: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def files(self) -> tuple[File, ...]:
        """Every file of the bundle but the manifest."""
        return tuple(self.graphs.values())

    def sealed(self) -> FeaturesManifest:
        """The same manifest with its bundle id filled in."""
        return replace(self, bundle_id=bundle_id(self))

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json_of(self)


AnyManifest = Manifest | FeaturesManifest


def read_any_manifest(folder: Path) -> AnyManifest:
    """Reads and checks the manifest of a bundle of either kind.

    Raises:
        ManifestError: see wordmask.manifest.read_manifest.
    """
    return read_with(folder, _parse)


def _parse(raw: Any) -> AnyManifest:
    if not isinstance(raw, dict) or "kind" not in raw:
        return parse_pipeline(raw)
    check_schema(raw)
    manifest = parse_as(FeaturesManifest, raw, "manifest")
    assert isinstance(manifest, FeaturesManifest)
    check_features(manifest)
    check_id(manifest, manifest.bundle_id)
    return manifest
