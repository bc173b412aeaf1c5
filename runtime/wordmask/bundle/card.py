"""What goes along with a bundle that is handed on: a model card, and the licences of its weights.

The card is the README.md of a repository on the Hugging Face hub; its head is what the hub reads.
"""

from __future__ import annotations

from wordmask.bundle.domains import TRAINED_ON
from wordmask.bundle.manifest import AnyManifest, FeaturesManifest, Manifest, Model
from wordmask.errors import install_hint
from wordmask.system.package_data import data_path

CARD_NAME, LICENCES_NAME = "README.md", "LICENCES.txt"
CLIP_LICENCE, LOFTUP_LICENCE = "MIT (OpenAI)", "MIT (Haiwen Huang)"  # as manifests name them
COPYRIGHTS = {CLIP_LICENCE: "Copyright (c) 2021 OpenAI", LOFTUP_LICENCE: "Copyright (c) 2025 Haiwen Huang"}
FORMER = {"see github.com/andrehuang/loftup": LOFTUP_LICENCE}  # as earlier manifests did
MIT, APACHE = "MIT", "Apache-2.0"


def licence_of(model: Model) -> str:
    """The licence of a model's weights, with whose they are in brackets."""
    return FORMER.get(model.licence, model.licence) or "not known"


def licences(manifest: AnyManifest) -> str:
    """Which licence each model's weights have, and the texts of those licences."""
    lines = ["The graphs of this bundle hold the weights of these models:", ""]
    lines += [f"{name}: {model.name}, {_origin(model)}: {licence_of(model)}" for name, model in manifest.models.items()]
    named = [licence_of(model) for model in manifest.models.values()]
    if isinstance(manifest, Manifest):
        lines.append(f"{manifest.clip.merges.file}, the tokenizer's merges, from CLIP: {CLIP_LICENCE}")
        named.append(CLIP_LICENCE)
    texts = [f"{MIT} License\n\n{COPYRIGHTS[name]}\n\n{_text('mit.txt')}" for name in COPYRIGHTS if name in named]
    texts += [_text("apache-2.0.txt")] if any(name.startswith(APACHE) for name in named) else []
    return f"\n\n{'-' * 60}\n\n".join(["\n".join(lines), *(text.strip("\n") for text in texts)]) + "\n"


def model_card(manifest: AnyManifest) -> str:
    """The README.md of a bundle on the hub."""
    features = isinstance(manifest, FeaturesManifest)
    rows = [
        f"| {name} | {model.name} | {_origin(model)} | `{model.weights_sha256[:16]}` | {licence_of(model)} |"
        for name, model in manifest.models.items()
    ]
    size = sum(file.size for file in manifest.files()) / 1e6
    command = "features photo.jpg --output photo.npz" if features else "run photos/ --vocabulary cat dog --output out"
    return _CARD.format(
        licence=_hub_licence(manifest),
        task="image-feature-extraction" if features else "image-segmentation",
        use="upsampled features of photos" if features else "labelled masks of photos from a list of words",
        id=manifest.bundle_id,
        precision=manifest.precision,
        trained=TRAINED_ON[manifest.domain],
        size=f"{size:.0f}",
        install=install_hint("cpu,hub"),
        command=command,
        rows="\n".join(rows),
        figures="\n".join(f"| {name} | {value:.3g} |" for name, value in manifest.parity.items()),
        licences=LICENCES_NAME,
    )


def _origin(model: Model) -> str:
    return f"{model.source} at {model.revision}" if model.revision else model.source


def _hub_licence(manifest: AnyManifest) -> str:
    """The hub's name for the licence, where all weights have one."""
    names = {licence_of(model).partition(" ")[0] for model in manifest.models.values()}
    known = {MIT: "mit", APACHE: "apache-2.0"}
    (only,) = names if len(names) == 1 else ("",)
    return known.get(only, "other")


def _text(name: str) -> str:
    return data_path("wordmask.bundle", f"data/{name}").read_text(encoding="utf-8")


_CARD = """---
license: {licence}
library_name: wordmask
pipeline_tag: {task}
tags:
- open-vocabulary-segmentation
- onnx
---

# A bundle for wordmask

{use}, without PyTorch: ONNX graphs and a manifest with all constants and hashes. Bundle `{id}`, {precision}, {trained},
{size} MB.

    {install}
    wordmask {command} --bundle hf:OWNER/NAME

| model | name | weights from | sha256 | licence of the weights |
|---|---|---|---|---|
{rows}

The licences' texts are in {licences}. What each graph differs from its PyTorch model, as measured when the bundle was
built:

| figure | value |
|---|---|
{figures}
"""
