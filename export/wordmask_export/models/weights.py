"""Finds and reads checkpoints, from the Hugging Face hub or from local files.

Nothing in a checkpoint is executed: it is read as safetensors, or by torch.load(weights_only=True).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from torch import Tensor, nn

from wordmask.bundle.downloads import Place, download
from wordmask.bundle.failed_downloads import what_is
from wordmask.bundle.manifest import Model
from wordmask.errors import HubError
from wordmask_export.models.messages import log
from wordmask_export.models.torchscript import is_torchscript, read_torchscript

RANDOM = "random:"
_UNSUPPORTED = re.compile(r"Unsupported (global: GLOBAL \S+|class \S+|operand \d+)")


class WeightsError(ValueError):
    """A checkpoint is missing, or does not fit its model."""


@dataclass(frozen=True)
class Wanted:
    """One checkpoint that a build needs.

    Attributes:
        model: name of the model.
        repository, file: place of the checkpoint on the hub.
        option: command-line option for a local file, named in messages.
        path: the local file; None downloads it from the hub.
        licence: of the weights.
        older: name of the same weights as a pickle, in repositories that have no `file`.
    """

    model: str
    repository: str
    file: str
    option: str
    path: Path | None = None
    licence: str = ""
    older: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint found on this machine, with what the manifest records of it."""

    path: Path
    source: str
    revision: str = ""
    sha256: str = ""
    licence: str = ""

    def entry(self, name: str) -> Model:
        """The manifest's entry for a model with these weights; of a configuration file the stem is the name."""
        short = Path(name).stem if name.endswith((".json", ".yaml")) else name
        return Model(short, self.source, self.revision, self.sha256, self.licence)


def random_seed(choice: str | None) -> int | None:
    """The seed of "random:SEED"; None for None.

    Raises:
        WeightsError: the text has another form.
    """
    if choice is None:
        return None
    seed = choice.removeprefix(RANDOM)
    if choice == seed or not seed.isascii() or not seed.isdigit():
        raise WeightsError(f"--weights is {choice!r}, expected random:SEED with a whole number, for instance random:0")
    return int(seed)


def find(wanted: Sequence[Wanted]) -> list[Checkpoint]:
    """Finds every checkpoint and downloads those that are not in the cache (see HF_HOME and HF_HUB_OFFLINE).

    Raises:
        WeightsError: files are missing; the message names each with its source and the option for a local file.
    """
    found: list[Checkpoint] = []
    missing: list[str] = []
    for item in wanted:
        try:
            found.append(_local(item, item.path) if item.path else _from_hub(item))
        except OSError as error:  # among them HubError
            missing.append(_explain(item, error))
    if missing:
        raise WeightsError(
            "these weights are not on this machine:\n" + "\n".join(missing) + "\n"
            "(--weights random:0 builds a bundle without weights, for tests of speed: its masks mean nothing)"
        )
    return found


def _local(item: Wanted, path: Path) -> Checkpoint:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    return Checkpoint(path, path.name, "", _sha256(path), item.licence)


def _from_hub(item: Wanted) -> Checkpoint:
    path = _downloaded(item)
    source = f"huggingface.co/{item.repository}/{path.name}"
    return Checkpoint(path, source, path.parent.name, _sha256(path), item.licence)


def _downloaded(item: Wanted) -> Path:
    try:
        return download(Place(item.repository, item.file), log)
    except HubError as error:
        if not item.older or error.code not in ("NO_FILE", "NOT_FOUND", "OFFLINE"):
            raise
        try:
            return download(Place(item.repository, item.older), log)
        except HubError:
            raise error from None


def _explain(item: Wanted, error: Exception) -> str:
    if item.path:
        return f"  {item.model}: {error}"
    return (
        f"  {item.model}: {item.file} from {constants.ENDPOINT}/{item.repository}: {error}\n"
        f"    or download it elsewhere and pass it as {item.option} PATH/{item.file}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """Reads a state dict, also one that is wrapped in an entry `model` or `state_dict`, or a TorchScript archive.

    Raises:
        WeightsError: it is not a safetensors file, a pickle of tensors only or a TorchScript archive.
    """
    try:
        state = _content(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # for a damaged pickle torch raises many kinds of errors
        raise WeightsError(
            f"{path}: cannot be read as safetensors or as a pickle of tensors alone ({_reason(error)})"
            f"{what_is(path)}; nothing in it was executed. A pickled module must be saved as a state dict first"
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path}: holds no state dict (a mapping of names to tensors)")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            found = f"{value.layout} tensor" if isinstance(value, Tensor) else type(value).__name__
            raise WeightsError(f"{path}: holds no state dict: {name!r} is a {found}, expected dense tensors by name")
    return {name.removeprefix("module."): value.float() for name, value in state.items()}


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return read_torchscript(path) if is_torchscript(path) else torch.load(path, "cpu", weights_only=True)


def fill(
    model: nn.Module, path: Path, translate: Callable[[dict[str, Tensor], Any], dict[str, Tensor]] | None = None
) -> None:
    """Loads a checkpoint into a model; `translate` renames its tensors to the names of the model's parameters.

    Raises:
        WeightsError: the checkpoint cannot be read, or does not fit the model.
    """
    state = read(path)
    try:
        model.load_state_dict(translate(state, model) if translate else state)
    except RuntimeError as error:
        reason = " ".join(str(error).splitlines()[1:3]).strip()
        raise WeightsError(f"{path} does not fit {type(model).__name__}: {reason}") from error


def _reason(error: Exception) -> str:
    """torch's error message without its advice to load the file in a way that executes code."""
    text = " ".join(str(error).split()) or type(error).__name__
    unpickler = _UNSUPPORTED.search(text)
    return unpickler[0].rstrip(".") if unpickler else text.split(". ")[0]
