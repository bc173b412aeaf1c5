"""manifest.json, the contract between the exporters and the runtime.

Every fact about a model that the runtime needs stands here; the parser is strict and names the field that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import types
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wordmask.errors import ManifestError

SCHEMA = 1
FILE_NAME = "manifest.json"


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
class Graph(File):
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
    """Frequencies and phases of LoftUp's positional features (see wordmask.upsampler).

    Attributes:
        frequencies: of the guidance's five scalars (row, column, r, g, b).
        phases: per frequency and scalar, for the sines and then for the cosines: (2, frequencies, 5).
        key_frequencies, key_phases: the same for the positions (row, column) of the low-resolution features.
    """

    frequencies: tuple[float, ...]
    phases: tuple[tuple[tuple[float, ...], ...], ...]
    key_frequencies: tuple[float, ...]
    key_phases: tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True)
class Sam2:
    """Constants of the SAM2 graphs: side of the input image and of the low-resolution masks, and their threshold."""

    image_size: int
    mask_size: int
    mask_threshold: float


@dataclass(frozen=True)
class Manifest:
    """All of manifest.json. `domain` says what the weights know: real photos, synthetic scenes, or nothing (random)."""

    schema: int
    bundle_id: str
    domain: Literal["photos", "synthetic", "random"]
    precision: Literal["fp32", "fp16"]
    graphs: dict[str, Graph]
    models: dict[str, Model]
    clip: Clip
    loftup: Loftup | None
    sam2: Sam2
    parity: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def files(self) -> tuple[File, ...]:
        """Every file of the bundle but the manifest."""
        return (*self.graphs.values(), self.clip.merges)

    def sealed(self) -> Manifest:
        """The same manifest with its bundle id filled in."""
        return replace(self, bundle_id=bundle_id(self))

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def bundle_id(manifest: Manifest) -> str:
    """Hash of what decides the results: graphs, models' parameters and constants; not parity figures, not tools."""
    facts = asdict(manifest)
    for name in ("bundle_id", "parity", "tools", "models"):
        del facts[name]
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest of a bundle folder.

    Raises:
        ManifestError: missing, not JSON, unknown schema or field, wrong type, or a bundle id that does not fit.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); is {folder} a bundle folder?") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text; build the bundle again") from error
    try:
        return parse(text)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def parse(text: str) -> Manifest:
    """Parses the text of a manifest; see read_manifest."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not valid JSON ({error})") from error
    if isinstance(raw, dict) and raw.get("schema") != SCHEMA:
        raise ManifestError(f"schema is {raw.get('schema')!r}, this version reads {SCHEMA}: build the bundle again")
    manifest = _parse(Manifest, raw, "manifest")
    assert isinstance(manifest, Manifest)
    if manifest.bundle_id != bundle_id(manifest):
        raise ManifestError("bundle_id does not fit the contents: the manifest was edited or mixed from two builds")
    return manifest


def _parse(kind: Any, value: Any, where: str) -> Any:
    """Turns JSON into the annotated type; `where` names the field in errors."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise ManifestError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return tuple(_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_is(list, value, where)))
    if origin is dict:
        return {k: _parse(arguments[1], item, f"{where}.{k}") for k, item in _is(dict, value, where).items()}
    if kind is float and type(value) is int:
        return float(value)
    return _is(kind, value, where)


def _parse_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is type(value):
            return value
    compound = [kind for kind in kinds if is_dataclass(kind)]
    if compound:
        return _parse(compound[0], value, where)
    raise ManifestError(f"{where} is {value!r}, expected {' or '.join(kind.__name__ for kind in kinds)}")


def _parse_dataclass(kind: Any, value: Any, where: str) -> Any:
    members = _is(dict, value, where)
    hints = get_type_hints(kind)
    unknown = sorted(set(members) - set(hints))
    if unknown:
        raise ManifestError(f"{where}.{unknown[0]} is not a field this version knows")
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(required - set(members))
    if missing:
        raise ManifestError(f"{where}.{missing[0]} is missing")
    return kind(**{name: _parse(hints[name], item, f"{where}.{name}") for name, item in members.items()})


def _is(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not kind:  # type(), not isinstance: true is an int to isinstance
        raise ManifestError(f"{where} is {_short(value)}, expected {kind.__name__}")
    return value


def _short(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= 60 else text[:57] + "..."
