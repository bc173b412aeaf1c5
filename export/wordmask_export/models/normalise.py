"""Normalises pixels for a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Pixels u8 or f32 (B, H, W, 3), 0 to 255 -> f32 (B, 3, H, W), with mean 0 and deviation 1 in training."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer(
            "offset", (-255 * torch.tensor(mean, dtype=torch.float64) * scale).float(), persistent=False
        )

    def forward(self, image: Tensor) -> Tensor:
        # cast first, because in TensorRT only a cast accepts uint8
        return (image.float() * self.scale + self.offset).permute(0, 3, 1, 2)  # type: ignore[operator]
