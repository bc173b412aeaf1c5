"""A bundle for a SAM2 checkpoint: built when it is first asked for, found again afterwards.

The PyTorch pipeline took a checkpoint and its configuration at every start. The first time, wordmask builds a bundle of
them, which takes minutes and the extra `export`; it stands in the user's cache under a name made of the contents.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from wordmask import extras
from wordmask.bundle.manifest import SCHEMA
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.errors import BundleError
from wordmask.system.user_cache import writable_cache

_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
_NAME = re.compile(r"(sam2(?:\.1)?)_hiera_(tiny|small|base_plus|large|t|s|b\+|l)(?:\.yaml|\.pt|\.safetensors)?")


def bundle_of_checkpoint(checkpoint: Path, model_cfg: str | None = None) -> Path:
    """The folder of the bundle with this SAM2 checkpoint; its other models are those of `wordmask build`.

    Args:
        checkpoint: SAM2's weights, such as checkpoints/sam2_hiera_large.pt.
        model_cfg: a YAML file, or a name of one of sam2's own (sam2_hiera_l.yaml, sam2.1_hiera_large, also with a
            folder before it). By default it follows from the checkpoint's name.

    Raises:
        BundleError: there is no such checkpoint or configuration, or the two cannot be made into a bundle.
        MissingExtraError: the bundle must be built, and what that needs is not installed.
    """
    sam2 = _model(checkpoint, model_cfg)
    folder = writable_cache() / "models" / f"checkpoint-{_key(checkpoint, sam2)}"
    if not (folder / FILE_NAME).is_file():
        extras.need(f"the first run with {checkpoint}", "export", extras.BUILD)
        _build(folder, checkpoint, sam2)
    return folder


def _model(checkpoint: Path, model_cfg: str | None) -> str:
    """What `wordmask build --sam2` calls the model."""
    if not checkpoint.is_file():
        raise BundleError(f"{checkpoint}: no such SAM2 checkpoint; without one, name a bundle")
    if model_cfg is not None and Path(model_cfg).is_file():
        return model_cfg
    name = _NAME.fullmatch(Path(model_cfg or checkpoint).name)
    if name is not None:
        return f"{name[1]}_hiera_{_SIZES.get(name[2], name[2])}"
    if model_cfg is None:
        raise BundleError(
            f"{checkpoint}: its name does not tell which SAM2 it is: give its configuration (--model-cfg)"
        )
    raise BundleError(f"{model_cfg}: neither a file nor one of sam2's configurations, such as sam2.1_hiera_l.yaml")


def _key(checkpoint: Path, sam2: str) -> str:
    """Sixteen digits that tell apart whatever would give another bundle."""
    configuration = _sha256(Path(sam2)) if Path(sam2).is_file() else sam2
    settings = {"schema": SCHEMA, "sam2": configuration, "weights": _sha256(checkpoint)}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(folder: Path, checkpoint: Path, sam2: str) -> None:
    from wordmask_export.build import BuildError, build  # noqa: PLC0415  (torch)
    from wordmask_export.graphs.specs import Protocol  # noqa: PLC0415
    from wordmask_export.models.pipeline import Choice  # noqa: PLC0415
    from wordmask_export.models.weights import WeightsError  # noqa: PLC0415

    try:
        build(folder, Choice(sam2=sam2, sam2_weights=str(checkpoint)), Protocol())
    except (BuildError, WeightsError) as error:
        raise BundleError(f"{checkpoint}: {error}") from error
