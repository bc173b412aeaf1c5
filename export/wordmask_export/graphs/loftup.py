"""LoftUp as it is exported: the same function, rewritten for matrix units.

The changes, all exact up to rounding:
- Positional sines are not computed but gathered from tables (wordmask.dense.loftup.tables).
- BatchNorm folds into the convolutions; each LayerNorm's gain and bias fold into the linear layer that follows.
- 203 channels, a width of 532 and heads of 133 become 208, 544 and 136, padded with zeros that stay zero.
- LayerNorm ignores a common offset, so the residual stream is kept mean-free: the mean over output channels is
  subtracted from the weights of every layer that writes to it. LayerNorm then needs only the mean of squares, over the
  padded width with a corrected divisor.
- The class head is part of the graph, so the map (dim, H, W) is not an output.
- The guidance has a margin of 2 pixels, the reach of two 3x3 convolutions, and a mask of the pixels that lie in the
  image. So a graph computes a whole image or any tile of it, with the memory of the tile.
- The graph for CPUs has fewer products in the convolutions (wordmask_export.graphs.winograd).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordmask.bundle.manifest import HALO
from wordmask_export.graphs.winograd import Winograd
from wordmask_export.models.loftup import HEADS, SCALARS, CrossAttention, FeedForward, LoftUp

MULTIPLE = 16  # matrix and vector units are faster if this divides the channel counts
HEAD_MULTIPLE = 8


def padded(size: int, multiple: int = MULTIPLE) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias, f64, of the convolution followed by the BatchNorm in eval mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = (conv.bias.double() - norm.running_mean.double()) * gain + norm.bias.double()
    return conv.weight.double() * gain[:, None, None, None], bias


def fold_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias, f64, of a linear layer with the gain and bias of the preceding LayerNorm folded in."""
    weight = weight.double()
    return weight * norm.weight.double(), bias.double() + weight @ norm.bias.double()


def linear(weight: Tensor, bias: Tensor, inputs: int, outputs: int) -> nn.Linear:
    """A linear layer padded with zeros to the given widths."""
    layer = nn.Linear(inputs, outputs)
    rows, columns = weight.shape
    layer.weight.data = F.pad(weight, (0, inputs - columns, 0, outputs - rows)).float()
    layer.bias.data = F.pad(bias, (0, outputs - rows)).float()
    return layer


def convolution(weight: Tensor, bias: Tensor, inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution without spatial padding, its channels padded with zeros to the given widths."""
    layer = nn.Conv2d(inputs, outputs, 3)
    rows, columns = weight.shape[:2]
    layer.weight.data = F.pad(weight, (0, 0, 0, 0, 0, inputs - columns, 0, outputs - rows)).float()
    layer.bias = nn.Parameter(F.pad(bias, (0, outputs - rows)).float())
    return layer


def pad_heads(rows: Tensor, head: int, wide: int) -> Tensor:
    """Pads each head's rows: (heads * head, ...) -> (heads * wide, ...)."""
    split = rows.unflatten(0, (HEADS, head))
    return torch.cat([split, split.new_zeros(HEADS, wide - head, *rows.shape[1:])], dim=1).flatten(0, 1)


class MeanFreeNorm(nn.Module):
    """LayerNorm without gain and bias of a mean-free stream that is padded from `width` channels."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        ratio = padded(width) / width
        self.eps = eps / ratio
        self.gain = ratio**-0.5

    def forward(self, x: Tensor) -> Tensor:
        mean_square = x.square().mean(-1, keepdim=True)
        return x * (torch.rsqrt(mean_square + self.eps) * self.gain)


class Attention(nn.Module):
    """A block's cross-attention and its residual, on the padded mean-free stream."""

    def __init__(self, block: CrossAttention) -> None:
        super().__init__()
        attention = block.attention
        width = attention.embed_dim
        wide, head = padded(width), width // HEADS
        self.head = padded(head, HEAD_MULTIPLE)
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        q_weight, q_bias = fold_norm(block.norm_q, weights[0], biases[0])
        scale = head**-0.5  # of the unpadded head
        inner = HEADS * self.head
        self.norm = MeanFreeNorm(width, block.norm_q.eps)
        self.norm_kv = block.norm_kv
        self.q = linear(*self._pad(q_weight * scale, q_bias * scale, head), wide, inner)
        self.k = linear(*self._pad(weights[1].double(), biases[1].double(), head), width, inner)
        self.v = linear(*self._pad(weights[2].double(), biases[2].double(), head), width, inner)
        out, out_bias = attention.out_proj.weight.double(), attention.out_proj.bias.double()
        out = pad_heads(out.T, head, self.head).T
        self.out = linear(out - out.mean(0), out_bias - out_bias.mean(), inner, wide)

    def _pad(self, weight: Tensor, bias: Tensor, head: int) -> tuple[Tensor, Tensor]:
        return pad_heads(weight, head, self.head), pad_heads(bias, head, self.head)

    def forward(self, x: Tensor, kv: Tensor) -> Tensor:
        """x (B, H*W, wide), kv (B, h*w, width) -> (B, H*W, wide)."""
        kv = self.norm_kv(kv)
        q, k, v = (
            layer(i).unflatten(-1, (HEADS, self.head)).transpose(1, 2)  # (B, heads, L, head)
            for layer, i in ((self.q, self.norm(x)), (self.k, kv), (self.v, kv))
        )
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """A block's feed-forward and its residual, on the padded mean-free stream."""

    def __init__(self, block: FeedForward) -> None:
        super().__init__()
        norm, first, _, _, second = block.net
        assert isinstance(norm, nn.LayerNorm)
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        width, hidden = second.out_features, padded(first.out_features)
        self.norm = MeanFreeNorm(width, norm.eps)
        self.first = linear(*fold_norm(norm, first.weight, first.bias), padded(width), hidden)
        weight, bias = second.weight.double(), second.bias.double()
        self.second = linear(weight - weight.mean(0), bias - bias.mean(), hidden, padded(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x))))


class Stem(nn.Module):
    """The two convolutions: pixels (B, H + 4, W + 4, C) and the mask of the image -> (B, H*W, wide)."""

    def __init__(self, conv1: nn.Conv2d, conv2: nn.Conv2d) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv1, conv2

    def forward(self, pixels: Tensor, inside: Tensor) -> Tensor:
        """Masks the pixels outside the image, as the published function pads with zeros before each convolution."""
        border = inside[:, None]  # (B, 1, H + 4, W + 4)
        x = self.conv1(pixels.permute(0, 3, 1, 2) * border).relu()  # (B, wide, H + 2, W + 2)
        x = self.conv2(x * border[:, :, 1:-1, 1:-1]).relu()
        return cast(Tensor, x.flatten(2).transpose(1, 2))


class CpuStem(nn.Module):
    """Stem with fewer products; H and W must be even."""

    def __init__(self, conv1: nn.Conv2d, conv2: nn.Conv2d) -> None:
        super().__init__()
        self.conv1, self.conv2 = Winograd(conv1), Winograd(conv2)

    def forward(self, pixels: Tensor, inside: Tensor) -> Tensor:
        """See Stem."""
        border = inside[..., None]  # (B, H + 4, W + 4, 1)
        x = self.conv1(pixels * border).relu()
        return cast(Tensor, self.conv2(x * border[:, 1:-1, 1:-1]).relu().flatten(1, 2))


class LoftUpGraph(nn.Module):
    """A LoftUp module in the form that is exported, see the docstring of this file."""

    def __init__(self, source: LoftUp, *, for_cpu: bool = False) -> None:
        super().__init__()
        upsampler = source.upsampler
        stem: tuple[Any, ...] = tuple(upsampler.first_conv)
        norm, conv1, bn1, _, conv2, bn2, _ = stem
        width, channels = int(conv2.out_channels), int(conv1.in_channels)
        self.width, self.channels, self.wide = width, channels, padded(width)
        self.channelnorm = source.channelnorm.norm
        order = table_order(upsampler.phases.shape[2])
        self.pixel_norm = nn.LayerNorm(channels, eps=norm.norm.eps)
        self.pixel_norm.weight.data, self.pixel_norm.bias.data = norm.norm.weight[order], norm.norm.bias[order]
        weight, bias = fold_batch_norm(conv1, bn1)
        self.stem = (CpuStem if for_cpu else Stem)(
            convolution(weight[:, order], bias, padded(channels), self.wide),
            convolution(*fold_batch_norm(conv2, bn2), self.wide, self.wide),
        )
        self.blocks = nn.ModuleList()
        for layer in upsampler.ca_transformer.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            self.blocks.extend([Attention(cast(CrossAttention, attention)), Mlp(cast(FeedForward, feed_forward))])
        last, head = upsampler.ca_transformer.norm, cast(nn.Conv2d, upsampler.final_conv[0])
        assert head.bias is not None
        self.head_norm = upsampler.final_conv[1]
        self.norm = MeanFreeNorm(width, last.eps)
        self.head = linear(*fold_norm(last, head.weight.flatten(1), head.bias), self.wide, head.out_channels)
        self.register_buffer("is_true", (torch.arange(self.wide) < width).float(), persistent=False)
        self.eval().requires_grad_(False)

    def queries(self, guidance: Tensor, inside: Tensor, colour: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Pixel queries (B, H*W, wide), mean-free."""
        batch, height, width, _ = guidance.shape
        offset = torch.arange(3, dtype=torch.int32, device=guidance.device) * 256
        offset = offset + torch.arange(batch, dtype=torch.int32, device=guidance.device)[:, None, None, None] * 768
        index = guidance.to(torch.int32) + offset  # (B, H + 4, W + 4, 3)
        colours = F.embedding(index, colour.flatten(0, 2)).flatten(3)  # (B, H + 4, W + 4, 3 * (2F + 1))
        rows = row[:, :, None].expand(batch, height, width, -1)
        columns = column[:, None].expand(batch, height, width, -1)
        pixels = self.pixel_norm(torch.cat([rows, columns, colours], dim=-1))
        x = self.stem(F.pad(pixels, (0, padded(self.channels) - self.channels)), inside)
        return cast(Tensor, x - x.sum(-1, keepdim=True) / self.width * self.is_true)

    def forward(
        self,
        features: Tensor,
        guidance: Tensor,
        inside: Tensor,
        colour_table: Tensor,
        row_table: Tensor,
        column_table: Tensor,
        key_table: Tensor,
        text: Tensor | None = None,
    ) -> Tensor:
        """The `loftup` graph: cosine similarities f32 (B, C, H, W) of the upsampled features and text (C, D).

        Without text, the upsampled features f32 (B, D, H, W).
        """
        low = self.channelnorm(features.flatten(2).transpose(1, 2))  # (B, h*w, D)
        kv = torch.cat([low, key_table.expand(low.shape[0], -1, -1)], dim=-1)
        x = self.queries(guidance, inside, colour_table, row_table, column_table)
        for block in self.blocks:
            x = block(x, kv) if isinstance(block, Attention) else block(x)
        x = self.head_norm(self.head(self.norm(x)))  # (B, H*W, D)
        if text is not None:
            x = (x @ text.T) * torch.rsqrt(x.square().sum(-1, keepdim=True))
        size = guidance.shape[1] - 2 * HALO, guidance.shape[2] - 2 * HALO
        return cast(Tensor, x.transpose(1, 2).unflatten(2, size))


class LoftUpFeatures(nn.Module):
    """The `loftup_features` graph: LoftUpGraph without the class head."""

    def __init__(self, upsampler: LoftUpGraph) -> None:
        super().__init__()
        self.upsampler = upsampler  # not `graph`: the exporter's modules have an attribute of that name

    def forward(
        self,
        features: Tensor,
        guidance: Tensor,
        inside: Tensor,
        colour_table: Tensor,
        row_table: Tensor,
        column_table: Tensor,
        key_table: Tensor,
    ) -> Tensor:
        """Upsampled features f32 (B, D, H, W)."""
        upsampled = self.upsampler(features, guidance, inside, colour_table, row_table, column_table, key_table)
        return cast(Tensor, upsampled)


def table_order(count: int) -> Tensor:
    """Index of each channel of the graph in the order of the published module.

    Graph: row, column, r, g, b, each with its sines, its cosines and (colours only) its value. Published: all sines
    frequency-major (index = frequency * 5 + scalar), all cosines, the three values.
    """
    order = []
    for scalar in range(SCALARS):
        waves = torch.arange(count) * SCALARS + scalar
        order += [waves, waves + count * SCALARS]
        if scalar >= 2:
            order.append(torch.tensor([2 * count * SCALARS + scalar - 2]))
    return torch.cat(order)
