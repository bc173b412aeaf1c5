"""Trains LoftUp on frozen CLIP features: every pixel is classified by its upsampled feature.

It must carry a region's feature to the region's pixels, and not learn which features the trained words have: so in some
windows, which are recoloured, pixels are classified by the features of the window's own regions in place of words.

A step uses a part of each window at its true position, and in it more pixels near outlines than elsewhere. Every window
has a part of its own: with one position for a whole batch, the batch statistics of the convolutions would be those of
that position and differ from the statistics that the exported module uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wordmask_export.models import loftup
from wordmask_export.models.weights import read
from wordmask_export.tiny.clip_stage import recoloured, shares
from wordmask_export.tiny.data import CLASSES, IS_OBJECT, BothWorlds, generator
from wordmask_export.tiny.towers import COLUMNS, Towers, class_logits, new_towers

HIDDEN, FREQUENCIES = 96, 10
BATCH = (4, 4)  # windows of patterns, of things
PART, PIXELS = 48, 1024  # side of the parts; pixels of each that are classified
RECOLOURED = 0.5  # share of the windows that are recoloured and train regions only
SCENES = 5  # in a block, for each window of a batch
PURITY = 4  # exponent: patches count in their region's feature with its share of them to this power
HALO = 2  # reach of the two convolutions, pixels
BAND, BAND_WEIGHT, OBJECT_WEIGHT = 3, 9.0, 2.0  # pixels are drawn more often near outlines and on objects


@dataclass(frozen=True)
class Crop:
    """A square part of a window."""

    top: int
    left: int
    side: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


def trained_towers(weights: Path) -> Towers:
    """The trained CLIP, frozen."""
    towers = new_towers(0)
    towers.load(read(weights))
    return towers.eval().requires_grad_(False)


def cut(images: Tensor, parts: Sequence[Crop]) -> Tensor:
    """The part of each image: (B, ..., S, S) -> (B, ..., side, side)."""
    return torch.stack([image[(..., *part.slices)] for image, part in zip(images, parts, strict=True)])


def upsample_pixels(
    module: loftup.LoftUp, features: Tensor, guidance: Tensor, parts: Sequence[Crop], pixels: Tensor
) -> Tensor:
    """LoftUp's output at the given pixels: (B, Q, D).

    Args:
        module: the upsampler.
        features: f32 (B, D, h, w).
        guidance: u8 (B, 3, S, S).
        parts: the part of each guidance that the convolutions get, all of one size; pixels within HALO of its edge
            differ from the result for the whole window, unless it is the window's edge.
        pixels: i64 (B, Q), row-major within the part.
    """
    inner, (batch, _, height, width) = module.upsampler, guidance.shape
    colours = cut(loftup.normalise_guidance(guidance), parts)
    places = cut(loftup.coordinates(height, width, guidance.device).expand(batch, -1, -1, -1), parts)
    channels = torch.cat([loftup.fourier(torch.cat([places, colours], dim=1), inner.phases), colours], dim=1)
    x = inner.first_conv(channels.float()).flatten(2).transpose(1, 2)  # (B, side * side, width)
    queries = x.gather(1, pixels[..., None].expand(-1, -1, x.shape[2]))
    mixed = inner.ca_transformer(queries, inner.keys(module.channelnorm(features)))
    conv, norm = cast(nn.Conv2d, inner.final_conv[0]), inner.final_conv[1]
    return norm(F.linear(mixed, conv.weight.flatten(1), conv.bias).float())


def draw(
    rng: np.random.Generator, class_maps: NDArray[np.uint8], *, side: int = PART, count: int = PIXELS
) -> tuple[list[Crop], NDArray[np.int64]]:
    """Draws a part of each class map and pixels in it, mostly near outlines.

    Returns:
        The parts, and i64 (B, count), row-major within the part.
    """
    size, kernel = class_maps.shape[1], np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    parts, pixels = [], []
    for class_map in class_maps:
        band = cv2.dilate(class_map, kernel) != cv2.erode(class_map, kernel)
        weight = 1.0 + BAND_WEIGHT * band + OBJECT_WEIGHT * IS_OBJECT[class_map]
        top, left = (int(x) for x in rng.integers((size - side) // 16 + 1, size=2) * 16)
        part = Crop(top, left, side)
        far = np.array([top > 0, left > 0, top + side < size, left + side < size]) * HALO
        valid = slice(far[0], side - far[2]), slice(far[1], side - far[3])
        inside = np.zeros((side, side))
        inside[valid] = weight[part.slices][valid]
        parts.append(part)
        total = inside.ravel().cumsum()
        pixels.append(np.searchsorted(total, rng.uniform(0, total[-1], count), side="right"))
    return parts, np.stack(pixels)


def region_features(features: Tensor, class_maps: NDArray[np.uint8], patch: int) -> tuple[Tensor, Tensor]:
    """CLIP's feature of each class's region in a window: the mean of its patches, purer ones weighted higher.

    Args:
        features: f32 (B, D, h, w).
        class_maps: u8 (B, S, S).
        patch: side of a patch, pixels.

    Returns:
        Unit features f32 (B, CLASSES, D), and bool (B, CLASSES): whether the region fills half of a patch.
    """
    share = shares(class_maps, patch).to(features.device).unflatten(0, (len(features), -1))  # (B, patches, classes)
    unit = F.normalize(features.flatten(2), dim=1)  # (B, D, patches)
    mean = torch.einsum("bpw,bdp->bwd", share.pow(PURITY), unit)
    return F.normalize(mean, dim=-1), share.amax(1) >= 0.5


class LoftupStage:
    """LoftUp's training on the trained CLIP."""

    name = "loftup"
    hidden: tuple[str, ...] = ("ca_transformer",)

    def __init__(
        self,
        seed: int,
        towers: Towers,
        *,
        batch: tuple[int, int] = BATCH,
        scenes: int = SCENES,
        device: torch.device | str = "cpu",
    ) -> None:
        self.seed, self.towers, self.device = seed, towers.to(device), torch.device(device)
        dim = towers.image.proj.shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = loftup.LoftUp(dim, hidden=HIDDEN, pixel_count=FREQUENCIES, key_count=FREQUENCIES)
        self.module: nn.Module = module.to(device)
        self.stream = BothWorlds(seed + 1, batch, scenes=scenes)
        place = np.full(CLASSES, -1, np.int64)
        place[list(COLUMNS)] = np.arange(len(COLUMNS))
        self.place = torch.from_numpy(place).to(device)
        with torch.no_grad():
            self.text = self.towers.columns()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy at the drawn pixels: over the trained words, and in recoloured windows over their regions."""
        assert isinstance(self.module, loftup.LoftUp)
        patterns, things = self.stream(step)
        count = round(len(patterns.images) * RECOLOURED)
        parts = [patterns[:count], things[:count], patterns[count:], things[count:]]
        class_maps = np.concatenate([part.class_maps for part in parts])
        images = np.concatenate([part.images for part in parts])
        rng = generator(self.seed, 7, step)
        images[: 2 * count] = recoloured(rng, images[: 2 * count])
        crops, drawn = draw(rng, class_maps)
        pixels = torch.from_numpy(drawn).to(self.device)
        guidance = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
        with torch.no_grad():
            features = self.towers.features(images)
        with torch.autocast(self.device.type, torch.bfloat16):
            upsampled = upsample_pixels(self.module, features, guidance, crops, pixels)
        unit = self.towers.log_scale.exp() * F.normalize(upsampled, dim=-1)  # (B, Q, D)
        labels = cut(torch.from_numpy(class_maps).to(self.device), crops).flatten(1).long().gather(1, pixels)
        regions, known = region_features(features[: 2 * count], class_maps[: 2 * count], self.towers.image.patch)
        near = (unit[: 2 * count] @ regions.transpose(1, 2)).masked_fill(~known[:, None], -torch.inf)  # (., Q, classes)
        counted = known.gather(1, labels[: 2 * count])
        groups = {"region": (near[counted], labels[: 2 * count][counted])}
        last = 2 * count + len(patterns.images) - count
        for name, rows in {"patterns": slice(2 * count, last), "things": slice(last, None)}.items():
            logits = class_logits(unit[rows] @ self.text.T, patterns=name == "patterns")
            groups[name] = (logits.flatten(0, 1), self.place[labels[rows]].flatten())
        errors = torch.stack([F.cross_entropy(logits, right, reduction="sum") for logits, right in groups.values()])
        found = {name: logits.detach().argmax(-1) == right for name, (logits, right) in groups.items() if len(right)}
        figures = {name: float(right.float().mean()) for name, right in found.items()}
        return errors.sum() / sum(len(right) for _, right in groups.values()), figures

    def weights(self) -> dict[str, Tensor]:
        """State dict with LoftUp's names."""
        return dict(self.module.state_dict())

    def start(self, weights: dict[str, Tensor]) -> None:
        """Starts from the weights of another training."""
        self.module.load_state_dict(weights)
