"""CLIP's image tower with correlative self-attention in the last block: dense patch features.

SCLIP: Wang, Mei, Yuille, "Rethinking Self-Attention for Dense Vision-Language Inference" (ECCV 2024).
Only the attention of the last block is replaced, without training; patch tokens then pass ln_post and the projection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordmask_export.models.transformer import Attention, State, Transformer

HEAD_WIDTH = 64  # OpenAI's ViTs have width / 64 heads; the number is not in the state dict


class ClipCsa(nn.Module):
    """OpenAI's VisionTransformer with the parameter names of its `visual.*` weights."""

    def __init__(self, state: State, *, heads: int | None, attention: Attention, quick_gelu: bool) -> None:
        super().__init__()
        width, _, self.patch, _ = state["conv1.weight"].shape
        self.attention: Attention = attention
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty_like(state["positional_embedding"]))
        self.proj = nn.Parameter(torch.empty_like(state["proj"]))
        self.conv1 = nn.Conv2d(3, width, self.patch, stride=self.patch, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(state, "transformer.", heads or width // HEAD_WIDTH, quick_gelu)
        self.ln_post = nn.LayerNorm(width)

    def tokens(self, image: Tensor) -> Tensor:
        """Normalised image f32 (B, 3, H, W) -> projected tokens (B, 1 + H/p * W/p, D), the class token first."""
        x = self.conv1(image)
        batch, width, rows, columns = x.shape
        x = x.flatten(2).transpose(1, 2)  # (B, H/p * W/p, width)
        x = torch.cat([self.class_embedding.expand(batch, 1, width), x], dim=1)
        x = self.ln_pre(x + interpolate_positions(self.positional_embedding, rows, columns))
        return self.ln_post(self.transformer(x, last=self.attention)) @ self.proj

    def forward(self, image: Tensor) -> Tensor:
        """Dense features.

        Args:
            image: f32 (B, 3, H, W), normalised by CLIP's mean and std; H and W multiples of the patch size.

        Returns:
            f32 (B, D, H / patch, W / patch), not of unit length.
        """
        batch, _, height, width = image.shape
        patches = self.tokens(image)[:, 1:]
        return patches.transpose(1, 2).reshape(batch, -1, height // self.patch, width // self.patch)


def interpolate_positions(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Position embeddings (1 + g*g, width) for another grid: (1 + rows*columns, width).

    Bicubic with the scale factor (n + 0.1) / g, as in DINO and SCLIP; interpolating by size differs by 5 to 24 %.
    """
    grid = round((len(positions) - 1) ** 0.5)
    if (rows, columns) == (grid, grid):
        return positions
    patches = positions[1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)  # (1, width, g, g)
    scale = ((rows + 0.1) / grid, (columns + 0.1) / grid)
    patches = F.interpolate(patches, scale_factor=scale, mode="bicubic")
    return torch.cat([positions[:1], patches.flatten(2)[0].T])


def load(state: State, *, heads: int | None = None, attention: Attention = "csa", quick_gelu: bool = True) -> ClipCsa:
    """Builds the tower from weights with OpenAI's names; every size is read from their shapes.

    Args:
        state: has `visual.*`; other names are ignored.
        heads: attention heads; by default width / 64 as in OpenAI's models.
        attention: of the last block; `plain` gives CLIP's own image tower.
        quick_gelu: whether the activation is QuickGELU, as in OpenAI's models.

    Returns:
        The module in eval mode.

    Raises:
        ValueError: the weights are not those of an OpenAI-style vision transformer.
    """
    visual = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}
    require(visual, ("conv1.weight", "positional_embedding", "proj", "transformer.resblocks.0.mlp.c_fc.weight"))
    tower = ClipCsa(visual, heads=heads, attention=attention, quick_gelu=quick_gelu)
    tower.load_state_dict(visual)
    return tower.eval().requires_grad_(False)


def require(state: State, names: Sequence[str]) -> None:
    """Raises ValueError if a name that decides the architecture is missing."""
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(f"the weights have no {missing[0]!r}: expected an OpenAI-style CLIP state dict")
