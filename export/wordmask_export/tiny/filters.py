"""Where CLIP's image tower starts: filters that see patterns, and a first block that measures their energy.

From noise, a transformer of this size finds colours within minutes and patterns not within an hour: it would have to
invent filters in quadrature and their energies first. Here they are given, and trained on.
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
_SLOPE, _SHARE = 2.0, 0.8  # into and out of the units that measure energy


def waves(patch: int) -> Tensor:
    """Pairs of filters (2 * P * O, patch, patch): a cosine and a sine of each period and orientation, windowed."""
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
    """The coarsest 2-D cosines (count, patch, patch)."""
    position = (torch.arange(patch) + 0.5) * torch.pi / patch
    lines = torch.cos(torch.arange(patch)[:, None] * position)  # (frequency, patch)
    pairs = sorted(itertools.product(range(patch), repeat=2), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))
    return torch.stack([torch.outer(lines[u], lines[v]) for u, v in pairs[:count]])


def start(tower: ClipCsa, images: Tensor) -> None:
    """Sets the first layers.

    Args:
        tower: at least 96 wide.
        images: f32 (B, 3, H, W), normalised: every filter gets a deviation of 1 on them.
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
    """Two units a filter, of opposite sign: with QuickGELU they sum to about its square, near zero, or its size.

    The energy of a pair, which does not depend on the phase, is added to the place of its cosine.
    """
    units = torch.arange(2 * filters)
    into[units] = 0
    into[units, units // 2] = _SLOPE * (1 - 2 * (units % 2)).float()
    out[:, units] = 0
    out[units // 4 * 2, units] = _SHARE
