"""The weights that stand in the repository beside the bundle: in half precision, as its graphs hold them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from wordmask_export.models.weights import WeightsError, read

NAMES = ("clip", "loftup", "sam2")


def weights_file(folder: Path, name: str) -> Path:
    """A model's weights in a folder: NAME.safetensors, which `keep` writes, or else NAME.pt, which `train` writes."""
    kept = folder / f"{name}.safetensors"
    return kept if kept.is_file() else folder / f"{name}.pt"


def keep(weights: Path, out: Path) -> None:
    """Writes NAME.safetensors of each model in half precision; a bundle built from them has the same graphs.

    Args:
        weights: folder that `train` wrote.
        out: folder for the files.

    Raises:
        WeightsError: weights are missing, or a value is too large for half precision.
    """
    rounded = {
        name: {key: _rounded(key, value) for key, value in read(weights_file(weights, name)).items()} for name in NAMES
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, state in rounded.items():
        (out / f"{name}.safetensors").write_bytes(save(state))


def _rounded(name: str, value: Tensor) -> Tensor:
    """In half precision; CLIP's temperature, a scalar that the manifest holds with more digits, stays as it is."""
    if value.ndim == 0:
        return value
    rounded = value.to(torch.float16).contiguous()
    if not bool(rounded.isfinite().all()):
        raise WeightsError(f"{name} goes up to {float(value.abs().max()):g}: too large for half precision")
    return rounded
