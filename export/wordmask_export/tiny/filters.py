"""Initial weights of CLIP's image tower: filters for patterns, and a first block that computes their energy.

From random weights, a transformer of this size learns colours within minutes, but patterns not within an hour, because
it must first find filters in quadrature and their energies. Here they are given as the start of the training.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wordmask_export.models.clip_csa import ClipCsa

PERIODS, ORIENTATIONS = (4.0, 6.0, 9.0, 13.0, 20.0), 8
SPREAD = 4.5  # pixels, of the filters' Gaussian window
_SLOPE, _SHARE = 2.0, 0.8  # weights into and out of the units that compute energy


def waves(patch: int) -> Tensor:
    """Windowed pairs of filters (2 * P * O, patch, patch): a cosine and a sine of each period and orientation."""
    axis = torch.arange(patch) - (patch - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / (2 * SPREAD**2))
    rows = []
    for period, turn in itertools.product(PERIODS, range(ORIENTATIONS)):
        angle = torch.tensor(math.pi * turn / ORIENTATIONS)
        phase = 2 * math.pi * (x * angle.cos() + y * angle.sin()) / period
        for wave in (phase.cos(), phase.sin()):
            rows.append(window * (wave - (window * wave).sum() / window.sum()))
    return torch.stack(rows)


def cosines(patch: int, count: int) -> Tensor:
    """The 2-D cosines of the lowest frequencies (count, patch, patch)."""
    position = (torch.arange(patch) + 0.5) * torch.pi / patch
    lines = torch.cos(torch.arange(patch)[:, None] * position)  # (frequency, patch)
    pairs = sorted(itertools.product(range(patch), repeat=2), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))
    return torch.stack([torch.outer(lines[u], lines[v]) for u, v in pairs[:count]])


def start(tower: ClipCsa, images: Tensor) -> None:
    """Sets the weights of the first layers.

    Args:
        tower: of a width of at least 96.
        images: f32 (B, 3, H, W), normalised; the filters are scaled to a deviation of 1 on them.
    """
    width, _, patch, _ = tower.conv1.weight.shape
    pairs = waves(patch)[: width // 2 // 2 * 2]
    rest = width - len(pairs)
    counts = (rest - 2 * (rest // 3), rest // 3, rest // 3)
    axes = F.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]), dim=1)
    planes = [pairs, *(cosines(patch, count) for count in counts)]
    filters = [
        plane[:, None] * axis[:, None, None] for plane, axis in zip(planes, (axes[0], *axes), strict=True)
    ]  # each (n, 3, patch, patch)
    bank = torch.cat(filters)
    deviation = F.conv2d(images, bank, stride=patch).std((0, 2, 3))
    block = tower.transformer.resblocks[0]
    with torch.no_grad():
        tower.conv1.weight.copy_(bank / deviation[:, None, None, None].clamp_min(1e-3))
        block.attn.out_proj.weight.mul_(0.1)  # type: ignore[operator, union-attr]
        _measure_energy(block.mlp.c_fc.weight, block.mlp.c_proj.weight, len(pairs))  # type: ignore[union-attr, arg-type]


def _measure_energy(into: Tensor, out: Tensor, filters: int) -> None:
    """Two units of opposite sign per filter: after QuickGELU their sum is about the square of a small response.

    For a large response it is about the absolute value. The energy of a pair, which does not depend on the phase, is
    added to the channel of its cosine.
    """
    units = torch.arange(2 * filters)
    into[units] = 0
    into[units, units // 2] = _SLOPE * (1 - 2 * (units % 2)).float()
    out[:, units] = 0
    out[units // 4 * 2, units] = _SHARE
