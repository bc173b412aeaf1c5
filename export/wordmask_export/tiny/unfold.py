"""Splits the folded weights of LoftUp's graphs into the factors and sums that they were made of.

The weights were rounded to half precision before they were folded (wordmask_export.precision.half_weights). So each row
has a gain, or an offset, without which all of its values are half-precision numbers: a search finds it, and with it the
weights themselves, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

PROBES = 16  # of a row's values, the largest: far more than are needed to tell gains apart
LARGEST_OFFSET = 0.5  # a mean over channels of trained weights is much smaller
ROUNDING = 2.0**-23  # relative, of f32: twice what a value can be off


def half(x: Tensor) -> Tensor:
    """f64, rounded to half precision."""
    return x.half().double()


def halves(low: float, high: float) -> Tensor:
    """All positive half-precision numbers between two: f64 (M,)."""
    numbers = torch.arange(0x7C00, dtype=torch.int16).view(torch.float16).double()
    return numbers[(numbers >= low) & (numbers <= high)]


def split_gains(folded: Tensor) -> tuple[Tensor, Tensor]:
    """Weights f64 (R, N) in half precision and gains f64 (R, 1), from 0.7 to 1.4, whose product is `folded` (R, N).

    A gain's sign, and its power of two, could as well be the weights'.

    Raises:
        ValueError: a row has no such gain.
    """
    folded = folded.double()
    probes = folded.abs().topk(PROBES, dim=1).values
    gains = probes[:, :1] / halves(1.0, 2.0)[:-1]  # (R, 1024): the largest value is one of these mantissas
    values = probes[:, None] / gains[:, :, None]  # (R, 1024, P)
    best = ((values - half(values)).abs() / values).amax(2).argmin(1, keepdim=True)
    gain = gains.gather(1, best)
    gain = gain / gain.log2().round().exp2()
    weights = half(folded / gain)
    used = weights.abs() > torch.finfo(torch.float16).tiny  # smaller ones may have lost digits to the power of two
    ratio = torch.where(used, folded / weights, 0.0)
    gain = ratio.sum(1, keepdim=True) / used.sum(1, keepdim=True)  # to nine digits
    if bool(((ratio / gain - 1).abs()[used] > ROUNDING).any()):
        raise ValueError("a row of weights is not a multiple of half-precision numbers")
    return weights, gain


def split_batch_norm(folded: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Convolution (R, N), gain (R,) and variance (R,) of a BatchNorm, f64, whose fold is `folded` (R, N).

    Only one half-precision pair of gain and variance gives all digits of a row, but for a rare second one.

    Raises:
        ValueError: no pair gives a row, of gains from 0.7 to 1.4.
    """
    norm_gains, shifts = halves(0.7, 1.42), torch.arange(7).exp2()  # the convolution may be smaller by a power of two
    _, ratios = split_gains(folded)
    rows = []
    for row, ratio in zip(folded, ratios, strict=True):
        variances = half((norm_gains / ratio * shifts[:, None]) ** 2 - eps)  # (7, M)
        found = norm_gains / (variances + eps).sqrt()
        nearest = (found * shifts[:, None] / ratio - 1).abs().flatten().argsort()[:8]
        for index in nearest.tolist():
            gain = found.flatten()[index]
            weights = half(row / gain)
            if torch.equal((weights * gain).float(), row):
                rows.append((weights, norm_gains[index % len(norm_gains)], variances.flatten()[index]))
                break
        else:
            raise ValueError("a row of weights is not the fold of half-precision numbers")
    weights, gains, variances = map(torch.stack, zip(*rows, strict=True))
    return weights, gains, variances


def add_means(folded: Tensor) -> Tensor:
    """Half-precision weights f64 (N, R) of which `folded` (N, R) is what differs from each column's mean.

    Raises:
        ValueError: a column has no such mean.
    """
    numbers = halves(0.0, LARGEST_OFFSET)
    numbers = torch.cat([-numbers, numbers])
    columns = []
    for column in folded.double().T:
        order = column.abs().argsort()
        offsets = numbers - column[order[0]]  # the smallest value is the most exact
        for index in order.flip(0):
            values = offsets + column[index]
            offsets = offsets[(values - half(values)).abs() <= ROUNDING * (values.abs() + column[index].abs())]
        if not len(offsets):
            raise ValueError("a column of weights is not of half-precision numbers less their mean")
        columns.append(half(column + offsets[offsets.abs().argmin()]))
    return torch.stack(columns, dim=1)


def split_bias(folded: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Biases of a norm and of the linear layer (out, in) after it, whose fold is `folded` (out,), f64.

    Any norm's bias will do. This one is small, and leaves the other one next to half-precision numbers, so that little
    is lost when it is rounded.
    """
    rest = folded - half(folded)
    norm = half(torch.linalg.lstsq(weights, rest[:, None]).solution[:, 0])
    return norm, folded - weights @ norm
