"""Trains CLIP on patches and phrases, with the forward pass that is exported (CSA in the last block).

Colour and pattern must compose, so that pairs which are held out from training also work. A loss makes the text tower's
embeddings additive, for pairs of any words; with trained pairs only, others stay off ("green striped" had a cosine of
0.52 to the sum of its parts). The image tower must recognise a pattern in any colour, so some windows are recoloured
and train patterns only (otherwise "black dotted", which is never a negative, was never found). Losses of colours alone
and of patterns alone, in windows that are not recoloured, made words worse that were not trained: that yellow objects
are never dotted is then learnt too.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wordmask_bench.scenes import COLOURS
from wordmask_export.tiny.data import (
    CLASSES,
    IS_OBJECT,
    PATTERN_WORDS,
    TRAINED,
    WORDS,
    BothWorlds,
    generator,
)
from wordmask_export.tiny.phrases import mixed_squares, parts, squares
from wordmask_export.tiny.towers import (
    COLUMNS,
    OTHER_BACKGROUNDS,
    TEMPLATES,
    TRAINED_PAIRS,
    class_logits,
    new_towers,
    tokens,
)

BATCH = (8, 24)  # windows of patterns, of things
SCENES = 1  # in a block, for each window of a batch
TEXT_STEPS = 600  # after these the text tower is frozen
COMPOSITION = 2.0  # weight of the loss for additive embeddings
RECOLOURED = 0.4  # share of the windows that are recoloured and train patterns only
RECOLOURED_WEIGHT = 1.0  # weight of the loss on them
MIXED = 24  # random squares of any words in the loss for additive embeddings
SPREAD, CLOSEST = 10.0, 0.45  # weight of the loss for distinct phrases, and the cosine above which it acts
PROMINENCE = 2.5  # of objects in patches that they share with a background
BACKGROUND_WEIGHT = 0.25  # weight of a patch without an object; a patch full of an object has 1.25


_OBJECTS = torch.from_numpy(IS_OBJECT)


def shares(class_maps: NDArray[np.uint8], patch: int) -> Tensor:
    """The share of each class in each patch: f32 (B * patches, CLASSES)."""
    batch, side, _ = class_maps.shape
    grid = side // patch
    index = np.arange(batch * grid * grid).reshape(batch, grid, 1, grid, 1) * CLASSES
    flat = index + class_maps.reshape(batch, grid, patch, grid, patch)
    counts = np.bincount(flat.ravel(), minlength=batch * grid * grid * CLASSES)
    return torch.from_numpy((counts / patch**2).astype(np.float32)).unflatten(0, (-1, CLASSES))


def prominent(share: Tensor) -> Tensor:
    """Shares (patches, CLASSES) in which objects count PROMINENCE times as much as backgrounds."""
    raised = share.clone()
    raised[:, _OBJECTS] *= PROMINENCE
    return raised / raised.sum(1, keepdim=True)


class ClipStage:
    """CLIP's training."""

    name = "clip"
    hidden: tuple[str, ...] = ("resblocks",)

    def __init__(
        self, seed: int, *, batch: tuple[int, int] = BATCH, scenes: int = SCENES, device: torch.device | str = "cpu"
    ) -> None:
        self.seed = seed
        self.module = new_towers(seed).to(device)
        self.stream = BothWorlds(seed, batch, scenes=scenes)
        self.columns = torch.tensor(COLUMNS)
        self.squares = squares().to(device)
        self.parts = parts().to(device)
        self.frozen: Tensor | None = None  # embeddings of the frozen text tower

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of patches over the trained words and their parts, and the losses of the text tower."""
        towers, (windows, things) = self.module, self.stream(step)
        text, own, figures = self._text(step)
        count = round(len(windows.images) * RECOLOURED)
        changed = recoloured(generator(self.seed, 4, step), windows.images[:count])
        features = towers.features(np.concatenate([changed, windows.images[count:], things.images]))
        unit = F.normalize(features.permute(0, 2, 3, 1), dim=-1).flatten(1, 2)  # (B, patches, D)
        scale, patch = towers.log_scale.clamp(max=4.0).exp(), towers.image.patch
        alike = scale * unit[:count] @ (self.parts @ text[:TRAINED_PAIRS]).T
        matched, accuracy = self._patterns_alone(alike, windows.class_maps[:count]), dict[str, float]()
        groups = {"patterns": (slice(count, len(windows.images)), windows.class_maps[count:])}
        groups["things"] = (slice(len(windows.images), None), things.class_maps)
        for name, (rows, class_maps) in groups.items():
            share = shares(class_maps, patch).to(unit.device)
            target = prominent(share)[:, self.columns]
            weight = BACKGROUND_WEIGHT + share[:, _OBJECTS].sum(1)
            logits = class_logits((scale * unit[rows] @ text.T).flatten(0, 1), patterns=name == "patterns")
            matched = matched + (F.cross_entropy(logits, target, reduction="none") * weight).sum() / weight.sum()
            accuracy |= _accuracy(name, logits.detach().argmax(-1).cpu(), target.cpu())
        return matched + own, {**accuracy, **figures, "scale": scale.item()}

    def _patterns_alone(self, logits: Tensor, class_maps: NDArray[np.uint8]) -> Tensor:
        """Cross-entropy of patterns in recoloured windows; logits (B, patches, colours + patterns)."""
        share = shares(class_maps, self.module.image.patch).to(logits.device)
        patterns = share[:, :PATTERN_WORDS].unflatten(1, (len(COLOURS), -1)).sum(1)
        errors = F.cross_entropy(logits[..., len(COLOURS) :].flatten(0, 1), patterns, reduction="none")
        return RECOLOURED_WEIGHT * errors.sum() / patterns.sum().clamp_min(1.0)

    def _text(self, step: int) -> tuple[Tensor, Tensor | float, dict[str, float]]:
        """Embeddings as of Towers.columns, the loss of the text tower, and figures."""
        towers = self.module
        if step >= TEXT_STEPS:
            if self.frozen is None:
                with torch.no_grad():
                    self.frozen = towers.columns()
            return self.frozen, 0.0, {}
        rng = generator(self.seed, 3, step)
        own = [WORDS[i] for i in TRAINED] + list(OTHER_BACKGROUNDS)
        phrases = own + mixed_squares(rng, MIXED)
        chosen = rng.integers(len(TEMPLATES), size=len(phrases))
        prompts = [TEMPLATES[c](phrase) for c, phrase in zip(chosen, phrases, strict=True)]
        text, mixed = towers.text(tokens(prompts).to(towers.device)).split([len(own), 4 * MIXED])
        a, b, c, d = torch.cat([text[self.squares], mixed.unflatten(0, (-1, 4))]).unbind(1)
        composition = (a - b - c + d).square().sum(-1).mean()
        words = len(TRAINED)
        near = (text[:words] @ text.T - torch.eye(words, len(text), device=text.device) - CLOSEST).clamp_min(0)
        spread = near.square().sum() / words  # otherwise colour, which is learnt first, dominates the embeddings
        loss = COMPOSITION * composition + SPREAD * spread
        return text, loss, {"composition": composition.item(), "spread": spread.item()}

    def weights(self) -> dict[str, Tensor]:
        """State dict with open_clip's names."""
        return self.module.state()

    def start(self, weights: dict[str, Tensor]) -> None:
        """Starts from the weights of another training."""
        self.module.load(weights)


def recoloured(rng: np.random.Generator, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images u8 (B, S, S, 3) in other colours: each in grey or with its channels exchanged, half of them inverted."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    changed = np.empty_like(images)
    for image, out in zip(images, changed, strict=True):
        if rng.uniform() < 1 / 3:
            out[:] = (image @ weights + 0.5).astype(np.uint8)[..., None]
        else:
            out[:] = image[..., rng.permutation(3)]
        if rng.uniform() < 0.5:
            np.subtract(255, out, out=out)
    return changed


def _accuracy(name: str, found: Tensor, target: Tensor) -> dict[str, float]:
    """Accuracy on patches of one class, of objects and of others; arguments are places in COLUMNS, and shares."""
    share, right = target.max(-1)
    is_object = _OBJECTS[torch.tensor(COLUMNS)][right]
    correct = found == right
    rows = {name: correct[is_object & (share > 0.9)], f"behind {name}": correct[~is_object & (share > 0.9)]}
    return {label: float(row.float().mean()) if len(row) else 1.0 for label, row in rows.items()}
