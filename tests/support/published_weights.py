"""Writes checkpoints as their authors publish them: repositories, files, formats, names and shapes; random values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hub_server import Hub

CLIP = "timm/vit_base_patch16_clip_224.openai"
LOFTUP = "haiwen/loftup-clip"


def sam2_repository(model: str) -> str:
    """Of a SAM2 by its name: sam2.1_hiera_tiny is in facebook/sam2.1-hiera-tiny."""
    return f"facebook/{model.replace('_hiera_', '-hiera-').replace('_', '-')}"


def write(models: Any, folder: Path, sam2: str) -> dict[str, dict[str, Path]]:
    """Writes CLIP, LoftUp and SAM2 of a wordmask_export.models.pipeline.Models; gives the files by their repositories.

    CLIP as open_clip does: safetensors of its state dict. LoftUp as its authors: a pickled state dict with `upsampler.`
    and `channelnorm.`. SAM2 as Meta: a pickled state dict under `model`, with the video model's memory.
    """
    clip, loftup, sam = (folder / name for name in ("open_clip_model.safetensors", "pytorch_model.bin", f"{sam2}.pt"))
    save_file({name: value.contiguous() for name, value in models.clip.state_dict().items()}, clip, {"format": "pt"})
    torch.save(models.loftup.state_dict(), loftup)
    torch.save({"model": models.sam2.state_dict()}, sam)
    return {CLIP: {clip.name: clip}, LOFTUP: {loftup.name: loftup}, sam2_repository(sam2): {sam.name: sam}}


def publish(hub: Hub, repositories: dict[str, dict[str, Path]]) -> dict[str, str]:
    """Puts them on a hub; gives their commits."""
    return {repo: hub.add(repo, {**files, "README.md": b"---\n---\n"}) for repo, files in repositories.items()}
