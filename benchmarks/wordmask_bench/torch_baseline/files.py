"""Files of the models that a bundle was built from, for models that are not downloaded by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFiles:
    """Configuration and weight files of the models; None takes what the bundle's manifest names."""

    clip: str | None = None
    sam2: str | None = None
    clip_weights: str | None = None
    loftup_weights: str | None = None
    sam2_weights: str | None = None
