"""LoftUp, the feature upsampler: pixels attend to low-resolution features.

LoftUp: Huang et al., "LoftUp: Learning a Coordinate-Based Feature Upsampler for Vision Foundation Models" (ICCV 2025).
This is the plain module with the parameter names of the published checkpoints; graphs/loftup.py rewrites it to the
faster, equivalent form that is exported.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordmask_export.models.transformer import State

HEADS = 4  # of the cross-attention; the number is not in the state dict
SCALARS = 5  # row, column, r, g, b
QUERY_CHUNK = 8192  # pixels that attend at once: bounds the attention's memory


def frequencies(count: int) -> Tensor:
    """The frequencies of the positional features, f64 (count,): exp of -2 to 10.

    Rounded to single precision as in the published code, because frequencies up to 22026 make the rounding visible.
    """
    return torch.linspace(-2, 10, count).exp().double()


def fourier(scalars: Tensor, phases: Tensor) -> Tensor:
    """Sines and cosines of scalars at every frequency.

    Arguments reach 22026 rad, where single precision has two decimals, so they are computed in double precision.

    Args:
        scalars: (B, S, ...).
        phases: the checkpoint's biases (2, S, F), read as (2, F, S) *without* transposing, as in the published code.

    Returns:
        f64 (B, 2*F*S, ...): the sines, frequency-major (index = frequency * S + scalar), then the cosines.
    """
    _, count, number = phases.shape
    shape = (1, number, count) + (1,) * (scalars.ndim - 2)
    sine, cosine = phases.double().reshape(2, *shape)
    scale = frequencies(number).to(scalars.device).reshape(1, number, *(1,) * (scalars.ndim - 1))
    angle = scalars.double()[:, None] * scale  # (B, F, S, ...)
    return torch.cat([(angle + sine).sin().flatten(1, 2), (angle + cosine).cos().flatten(1, 2)], dim=1)


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """Row and column of every pixel from -1 to 1: f64 (1, 2, H, W), rounded to single precision as published."""
    rows, columns = torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None].double()


def normalise_guidance(guidance: Tensor) -> Tensor:
    """Each channel of each image to [-0.5, 0.5]: f64 (B, C, H, W).

    The published code takes minimum and maximum over the whole batch. Per image it is the same for one image, and the
    images of a batch do not influence each other.
    """
    guidance = guidance.double()
    low, high = guidance.amin((2, 3), keepdim=True), guidance.amax((2, 3), keepdim=True)
    return (guidance - low) / (high - low).clamp_min(1e-4) - 0.5


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (B, C, ...)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class CrossAttention(nn.Module):
    """Pixels (queries) attend to low-resolution features; both are normalised first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(width)
        self.norm_kv = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)

    def forward(self, x: Tensor, kv: Tensor) -> Tensor:
        """x (B, Q, width), kv (B, K, width) -> (B, Q, width)."""
        attention = self.attention
        kv = self.norm_kv(kv)
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        inputs = (self.norm_q(x), kv, kv)
        q, k, v = (
            F.linear(i, w, b).unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (B, heads, L, width / heads)
            for i, w, b in zip(inputs, weights, biases, strict=True)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return attention.out_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """LayerNorm, Linear, GELU, Linear; dropouts keep the layer numbers of the checkpoint."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        dropout = nn.Dropout(0.0)
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), dropout, nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class CrossTransformer(nn.Module):
    """Blocks of cross-attention and feed-forward, each with a residual, then a LayerNorm."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([CrossAttention(width), FeedForward(width, hidden)]) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, kv: Tensor) -> Tensor:
        for layer in self.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            x = attention(x, kv) + x
            x = feed_forward(x) + x
        return self.norm(x)


class Phases(nn.Module):
    """Holds the learned phases of the positional features."""

    def __init__(self, scalars: int, count: int) -> None:
        super().__init__()
        self.biases = nn.Parameter(torch.randn(2, scalars, count))


class Upsampler(nn.Module):
    """LoftUp after the normalisation of the features."""

    def __init__(self, dim: int, hidden: int, depth: int, pixel_count: int, key_count: int) -> None:
        super().__init__()
        width, channels = dim + 4 * key_count, 2 * SCALARS * pixel_count + 3
        self.lr_pe = Phases(2, key_count)
        self.fourier_feat = nn.Sequential(nn.Identity(), Phases(SCALARS, pixel_count))
        self.first_conv = nn.Sequential(
            ChannelNorm(channels),
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.ca_transformer = CrossTransformer(width, hidden, depth)
        self.final_conv = nn.Sequential(nn.Conv2d(width, dim, 1), nn.LayerNorm(dim, eps=1e-6))

    @property
    def phases(self) -> Tensor:
        """Phases of the guidance's five scalars, (2, 5, frequencies)."""
        return cast(Phases, self.fourier_feat[1]).biases

    def keys(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) with their positions: (B, h*w, D + 4 * key frequencies)."""
        height, width = features.shape[-2:]
        positions = fourier(coordinates(height, width, features.device), self.lr_pe.biases).to(features.dtype)
        positions = positions.expand(len(features), -1, -1, -1)
        return torch.cat([features, positions], dim=1).flatten(2).transpose(1, 2)

    def queries(self, guidance: Tensor) -> Tensor:
        """Guidance (B, 3, H, W) -> (B, H*W, width)."""
        batch, _, height, width = guidance.shape
        colours = normalise_guidance(guidance)
        scalars = torch.cat([coordinates(height, width, guidance.device).expand(batch, -1, -1, -1), colours], dim=1)
        channels = torch.cat([fourier(scalars, self.phases), colours], dim=1)
        x: Tensor = self.first_conv(channels.to(self.lr_pe.biases.dtype))
        return x.flatten(2).transpose(1, 2)

    def forward(self, features: Tensor, guidance: Tensor) -> Tensor:
        kv = self.keys(features)
        conv, norm = cast(nn.Conv2d, self.final_conv[0]), self.final_conv[1]
        chunks = [
            norm(F.linear(self.ca_transformer(q, kv), conv.weight.flatten(1), conv.bias))
            for q in self.queries(guidance).split(QUERY_CHUNK, dim=1)
        ]
        return torch.cat(chunks, dim=1).transpose(1, 2).unflatten(2, guidance.shape[-2:])  # (B, D, H, W)


class LoftUp(nn.Module):
    """LoftUp with the parameter names of haiwen/loftup-*."""

    def __init__(self, dim: int, *, hidden: int, depth: int = 2, pixel_count: int = 20, key_count: int = 5) -> None:
        super().__init__()
        self.upsampler = Upsampler(dim, hidden, depth, pixel_count, key_count)
        self.channelnorm = ChannelNorm(dim)

    def forward(self, features: Tensor, guidance: Tensor) -> Tensor:
        """Upsamples features to the guidance's resolution.

        Args:
            features: f32 or f64 (B, D, h, w).
            guidance: the photo, uint8 or float (B, 3, H, W); scale and offset of a channel have no influence.

        Returns:
            (B, D, H, W), the features' dtype.
        """
        return self.upsampler(self.channelnorm(features), guidance)


def of_training(state: State) -> State:
    """The weights in a checkpoint of LoftUp's training, under the names of the published ones; those stay as they are.

    There the norm is the second part of `model`, behind the backbone that LoftUp was trained on.
    """
    norm = {name.replace("model.1.", "channelnorm.", 1): x for name, x in state.items() if name.startswith("model.1.")}
    return {**{name: x for name, x in state.items() if name.startswith("upsampler.")}, **norm} if norm else state


def load(state: State) -> LoftUp:
    """Builds LoftUp from a state dict; every size is read from its names and shapes.

    Returns:
        The module in eval mode.

    Raises:
        ValueError: it is not the state dict of a LoftUp checkpoint.
    """
    try:
        dim = len(state["channelnorm.norm.weight"])
        hidden = len(state["upsampler.ca_transformer.layers.0.1.net.1.weight"])
        pixel_count = state["upsampler.fourier_feat.1.biases"].shape[2]
        key_count = state["upsampler.lr_pe.biases"].shape[2]
    except KeyError as error:
        raise ValueError(f"the weights have no {error}: expected a LoftUp checkpoint's state dict") from error
    prefix = "upsampler.ca_transformer.layers."
    depth = 1 + max(int(name[len(prefix) :].split(".")[0]) for name in state if name.startswith(prefix))
    module = LoftUp(dim, hidden=hidden, depth=depth, pixel_count=pixel_count, key_count=key_count)
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


def random(dim: int, seed: int) -> LoftUp:
    """LoftUp of a given width with seeded random weights and batch statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = LoftUp(dim, hidden=dim)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
                nn.init.uniform_(layer.running_var, 0.2, 0.5)  # type: ignore[arg-type]
        for name, parameter in module.named_parameters():  # gains of 1 and biases of 0 would hide errors in folding
            if parameter.ndim == 1:
                nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.05)
    return module.eval().requires_grad_(False)
