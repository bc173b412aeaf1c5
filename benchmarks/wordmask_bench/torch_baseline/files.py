"""The files of models that a bundle was built from, where they are not downloaded by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFiles:
    """Files of the models where the bundle's manifest alone does not lead to them."""

    clip: str | None = None
    sam2: str | None = None
    clip_weights: str | None = None
    loftup_weights: str | None = None
    sam2_weights: str | None = None
