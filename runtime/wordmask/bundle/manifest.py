"""manifest.json, the contract between the exporters and the runtime.

Every fact about a model that the runtime needs stands here. manifest_reading reads it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

SCHEMA = 3
HALO = 2  # pixels around a tile that LoftUp's two 3x3 convolutions see: its guidance is H + 2 * HALO high
MIN_TILE = 32  # pixels: the least side of such a tile that engines are built for


@dataclass(frozen=True)
class Tensor:
    """One input or output of a graph. A dimension is a size or, where it varies, its symbol."""

    name: str
    dtype: Literal["uint8", "int32", "float32"]
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class File:
    """A file of the bundle, by its name in the bundle's folder."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class GraphEntry(File):
    """An ONNX graph with its interface."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Model:
    """Where a model's weights come from."""

    name: str
    source: str
    revision: str
    weights_sha256: str
    licence: str


@dataclass(frozen=True)
class Clip:
    """Constants of the CLIP graphs and of SCLIP's dense protocol; sizes in pixels.

    Attributes:
        dim: channels of the features and of the word embeddings.
        patch: side of a patch.
        window, stride: side and step of the windows the photo is cut into.
        short_side, long_side: the photo is resized to this short side unless its long side would exceed long_side.
        attention: of the last block: csa, or maskclip (values only).
        logit_scale: multiplies the cosine similarities before the softmax.
        context_length: tokens a prompt may have.
        templates: prompt templates, "{}" stands for the word.
        merges: the tokenizer's byte-pair merges.
    """

    dim: int
    patch: int
    window: int
    stride: int
    short_side: int
    long_side: int
    attention: Literal["csa", "maskclip"]
    logit_scale: float
    context_length: int
    templates: tuple[str, ...]
    merges: File


@dataclass(frozen=True)
class Loftup:
    """Frequencies and phases of LoftUp's positional features (see wordmask.dense.loftup).

    Attributes:
        frequencies: of the guidance's five scalars (row, column, r, g, b).
        phases: per frequency and scalar, for the sines and then for the cosines: (2, frequencies, 5).
        key_frequencies, key_phases: the same for the positions (row, column) of the low-resolution features.
        heads: of the attention, whose scores bound the size of a tile.
    """

    frequencies: tuple[float, ...]
    phases: tuple[tuple[tuple[float, ...], ...], ...]
    key_frequencies: tuple[float, ...]
    key_phases: tuple[tuple[tuple[float, ...], ...], ...]
    heads: int


@dataclass(frozen=True)
class Sam2:
    """Constants of the SAM2 graphs.

    Attributes:
        image_size: side of the square that the encoder takes. mask_size: side of the low-resolution masks; pixels.
        mask_threshold: a pixel is in a mask if its logit is above this.
        stability_delta, stability_threshold: the first mask of a prompt with several points is used where its IoU at
            thresholds of plus and minus delta reaches the threshold (see wordmask.objects.mask_choice).
    """

    image_size: int
    mask_size: int
    mask_threshold: float
    stability_delta: float = 0.05
    stability_threshold: float = 0.98


class Contents:
    """Any manifest: a dataclass, with the fields of Manifest that do not decide results."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def sealed(self) -> Self:
        """The same manifest with its bundle id filled in."""
        return replace(self, bundle_id=bundle_id(self))

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def bundle_id(manifest: Contents) -> str:
    """Hash of what decides the results: graphs, models' parameters and constants; not parity figures, not tools."""
    facts = asdict(manifest)
    for name in ("bundle_id", "parity", "tools", "models"):
        del facts[name]
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Manifest(Contents):
    """All of manifest.json. `domain`: what the weights were trained on, random if on nothing."""

    schema: int
    bundle_id: str
    domain: Literal["photos", "synthetic", "random"]
    precision: Literal["fp32", "fp16"]
    graphs: dict[str, GraphEntry]
    models: dict[str, Model]
    clip: Clip
    loftup: Loftup | None
    sam2: Sam2
    parity: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def files(self) -> tuple[File, ...]:
        """Every file of the bundle but the manifest."""
        return (*self.graphs.values(), self.clip.merges)


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
class FeaturesManifest(Contents):
    """All of such a bundle's manifest.json; see Manifest."""

    schema: int
    kind: Literal["features"]
    bundle_id: str
    domain: Literal["photos", "synthetic", "random"]
    precision: Literal["fp32", "fp16"]
    graphs: dict[str, GraphEntry]
    models: dict[str, Model]
    backbone: Backbone
    loftup: Loftup
    parity: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def files(self) -> tuple[File, ...]:
        """Every file of the bundle but the manifest."""
        return tuple(self.graphs.values())


AnyManifest = Manifest | FeaturesManifest
