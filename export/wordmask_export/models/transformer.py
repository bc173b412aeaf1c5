"""CLIP's residual attention block over OpenAI's parameter names, for the image and the text tower.

nn.MultiheadAttention is not used, because the last image block needs its queries, keys and values, and because plain
matrix products export to graphs that every runtime can fuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attention = Literal["plain", "csa", "maskclip"]
State = Mapping[str, Tensor]


class SelfAttention(nn.Module):
    """Multi-head self-attention with OpenAI's names: in_proj_weight, in_proj_bias, out_proj.

    `csa` is correlative self-attention (SCLIP, section 3.2): queries attend to queries and keys to keys, summed.
    `maskclip` has no attention: each token gets its own projected value (MaskCLIP, section 3.3).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, L, width / heads)
        if attention == "csa":
            scale = q.shape[-1] ** -0.5
            weights = (q @ q.transpose(-2, -1) * scale).softmax(-1) + (k @ k.transpose(-2, -1) * scale).softmax(-1)
            mixed = weights @ v
        elif attention == "maskclip":
            mixed = v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return cast(Tensor, self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width)))


class Mlp(nn.Module):
    """The block's two linear layers, with QuickGELU or GELU between them."""

    def __init__(self, width: int, hidden: int, quick_gelu: bool) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.c_proj = nn.Linear(hidden, width)
        self.quick_gelu = quick_gelu

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        return cast(Tensor, self.c_proj(x * torch.sigmoid(1.702 * x) if self.quick_gelu else F.gelu(x)))


class Block(nn.Module):
    """LayerNorm, attention, residual; LayerNorm, MLP, residual."""

    def __init__(self, width: int, hidden: int, heads: int, quick_gelu: bool) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden, quick_gelu)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, attention: Attention = "plain", mask: Tensor | None = None) -> Tensor:
        if attention == "maskclip":
            return self.attn(self.ln_1(x), attention, None)
        x = x + self.attn(self.ln_1(x), attention, mask)
        x = x + self.mlp(self.ln_2(x))
        return x


class Transformer(nn.Module):
    """The stack `resblocks`; its sizes are read from the state dict."""

    def __init__(self, state: State, prefix: str, heads: int, quick_gelu: bool) -> None:
        super().__init__()
        layers = 1 + max(int(name[len(prefix) :].split(".")[1]) for name in state if name.startswith(prefix))
        hidden, width = state[f"{prefix}resblocks.0.mlp.c_fc.weight"].shape
        self.resblocks = nn.ModuleList(Block(width, hidden, heads, quick_gelu) for _ in range(layers))

    def forward(self, x: Tensor, last: Attention = "plain", mask: Tensor | None = None) -> Tensor:
        """x (B, L, width) -> (B, L, width); `last` is the attention of the last block."""
        for block in self.resblocks[:-1]:
            x = block(x, "plain", mask)
        return cast(Tensor, self.resblocks[-1](x, last, mask))
