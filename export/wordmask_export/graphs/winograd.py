"""3x3 convolutions with 16 products instead of 36, for processors that are limited by arithmetic.

Winograd's F(2x2, 3x3): every 2x2 outputs come from 4x4 inputs. Both are transformed by sums and differences, with 16
matrix products over the channels between the transforms. On a CPU this is faster while a tile fits in the caches; on a
GPU the additional memory traffic would cost more. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks" (2016), section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KERNEL = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))  # the paper's G


class Winograd(nn.Module):
    """A convolution without padding, channels last: (B, H + 2, W + 2, C) -> (B, H, W, O), H and W even."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        kernel = torch.tensor(KERNEL, dtype=torch.float64)
        weights = torch.einsum("ir,js,ocrs->ijco", kernel, kernel, conv.weight.double()).float()
        rows = (nn.ParameterList(part.contiguous() for part in row) for row in weights)
        self.weights = nn.ModuleList(rows)  # 4 x 4 matrices (C, O)
        self.bias = nn.Parameter(conv.bias.detach())
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        rows = []
        for part, weights in zip(split(x, 1), self.weights, strict=True):
            assert isinstance(weights, nn.ParameterList)
            products = [piece @ weight for piece, weight in zip(split(part, 2), weights, strict=True)]
            rows.append(join(products, 2))
        return join(rows, 1) + self.bias


def split(x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The paper's B^T along an axis: n pairs give n - 1 overlapping quadruples, transformed."""
    pairs = x.unflatten(axis, (x.shape[axis] // 2, 2))
    even, odd = pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)
    count = even.shape[axis] - 1
    a, b = even.narrow(axis, 0, count), odd.narrow(axis, 0, count)
    c, d = even.narrow(axis, 1, count), odd.narrow(axis, 1, count)
    return a - c, b + c, c - b, b - d


def join(products: list[Tensor], axis: int) -> Tensor:
    """The paper's A^T along an axis: 4 products give interleaved pairs of outputs."""
    a, b, c, d = products
    return torch.stack([a + b + c, b - c - d], dim=axis + 1).flatten(axis, axis + 1)
