"""Trains CLIP: patch features, by the very forward that is exported (CSA in the last block), against phrases.

Colour and pattern must compose, so that a pair that was never seen has a meaning: the text tower is drawn towards
embeddings that are sums of a colour's and a pattern's part. The image tower then has to tell colours and patterns
apart independently.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wordmask_bench.scenes import PATTERNS
from wordmask_export import clip_csa, clip_text
from wordmask_export.sam2_graphs import Normalise
from wordmask_export.tiny import filters
from wordmask_export.tiny.data import OBJECT_WORDS, TRAINED, WORDS, WindowStream, block, generator

CONFIG = Path(__file__).parent / "tiny_clip.json"
TEMPLATES = tuple(open_clip.OPENAI_IMAGENET_TEMPLATES)
BATCH = 32
COMPOSITION = 2.0  # weight of the text tower's additivity
SPREAD, CLOSEST = 10.0, 0.45  # weight of keeping phrases apart, and the cosine up to which they may be near
BACKGROUND_WEIGHT = 0.25  # of a patch without an object, beside 1.25 of a patch full of one


class Towers(nn.Module):
    """Image and text tower, and the temperature."""

    def __init__(self, state: dict[str, Tensor], text_heads: int) -> None:
        super().__init__()
        self.image = clip_csa.load(state).requires_grad_(True)
        self.text = clip_text.load(state, heads=text_heads).requires_grad_(True)
        self.log_scale = nn.Parameter(torch.tensor(12.0).log())
        self.normalise = Normalise(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """u8 (B, S, S, 3) -> f32 (B, D, S / patch, S / patch)."""
        dense: Tensor = self.image(self.normalise(torch.from_numpy(images)))
        return dense.float()

    def words(self, words: tuple[str, ...] = WORDS) -> Tensor:
        """Embeddings as the runtime makes them: the unit mean over all templates, (W, D)."""
        rows = [self.text(tokens([t(word) for t in TEMPLATES])).mean(0) for word in words]
        return F.normalize(torch.stack(rows), dim=-1)

    def state(self) -> dict[str, Tensor]:
        """By open_clip's names."""
        image = {f"visual.{name}": value for name, value in self.image.state_dict().items()}
        return {**image, **self.text.state_dict(), "logit_scale": self.log_scale.detach()}


def tokens(prompts: list[str]) -> Tensor:
    """Token numbers, cut to the longest prompt."""
    numbers: Tensor = open_clip.tokenize(prompts)
    return numbers[:, : int(numbers.argmax(1).max()) + 1]


def new_towers(seed: int) -> Towers:
    """Towers before training."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    towers = Towers(model.state_dict(), config["text_cfg"]["heads"])
    with torch.no_grad():
        images = towers.normalise(torch.from_numpy(block(seed, 0, scenes=4).images))
    filters.start(towers.image, images)
    return towers


def squares() -> Tensor:
    """Index (Q, 4) into TRAINED: all pairs of colours and of patterns whose four combinations are trained."""
    place = {word: i for i, word in enumerate(TRAINED)}
    many = len(PATTERNS)
    rows = []
    for a, b in itertools.combinations(range(0, OBJECT_WORDS, many), 2):
        for p, q in itertools.combinations(range(many), 2):
            corners = (a + p, a + q, b + p, b + q)
            if all(corner in place for corner in corners):
                rows.append([place[corner] for corner in corners])
    return torch.tensor(rows)


def shares(class_maps: NDArray[np.uint8], patch: int) -> Tensor:
    """The share of each word in each patch: f32 (B * patches, len(WORDS))."""
    batch, side, _ = class_maps.shape
    grid = side // patch
    index = np.arange(batch * grid * grid).reshape(batch, grid, 1, grid, 1) * len(WORDS)
    flat = index + class_maps.reshape(batch, grid, patch, grid, patch)
    counts = np.bincount(flat.ravel(), minlength=batch * grid * grid * len(WORDS))
    return torch.from_numpy((counts / patch**2).astype(np.float32)).unflatten(0, (-1, len(WORDS)))


class ClipStage:
    """CLIP's training."""

    name = "clip"
    hidden: tuple[str, ...] = ("resblocks",)

    def __init__(self, seed: int, *, batch: int = BATCH, scenes: int | None = None) -> None:
        self.seed = seed
        self.module = new_towers(seed)
        self.stream = WindowStream(seed, batch) if scenes is None else WindowStream(seed, batch, scenes=scenes)
        self.trained = torch.tensor(TRAINED)
        self.squares = squares()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of patches over the trained words, and the text tower's distance from additivity."""
        windows, towers = self.stream(step), self.module
        with torch.autocast("cpu", torch.bfloat16):
            features = towers.features(windows.images)
        rng = generator(self.seed, 3, step)
        chosen = rng.integers(len(TEMPLATES), size=len(TRAINED))
        text = towers.text(tokens([TEMPLATES[c](WORDS[i]) for c, i in zip(chosen, TRAINED, strict=True)]))
        unit = F.normalize(features.permute(0, 2, 3, 1).flatten(0, 2), dim=-1)  # (B * patches, D)
        logits = towers.log_scale.clamp(max=4.0).exp() * unit @ text.T
        share = shares(windows.class_maps, towers.image.patch)
        target = share[:, self.trained]
        weight = BACKGROUND_WEIGHT + share[:, :OBJECT_WORDS].sum(1)
        entropy = -(target * logits.log_softmax(-1)).sum(-1)
        a, b, c, d = text[self.squares].unbind(1)
        composition = (a - b - c + d).square().sum(-1).mean()
        near = (text @ text.T - torch.eye(len(text)) - CLOSEST).clamp_min(0)
        spread = near.square().sum() / len(text)  # else the first thing learnt, colour, takes all the room
        loss = (entropy * weight).sum() / weight.sum() + COMPOSITION * composition + SPREAD * spread
        figures = _accuracy(logits.detach().argmax(-1), target)
        return loss, {
            **figures,
            "composition": composition.item(),
            "spread": spread.item(),
            "scale": towers.log_scale.exp().item(),
        }

    def weights(self) -> dict[str, Tensor]:
        """By open_clip's names."""
        return self.module.state()


def _accuracy(found: Tensor, target: Tensor) -> dict[str, float]:
    """Of patches that are all one word: backgrounds right, objects' colours, and patterns of objects that have one."""
    share, right = target.max(-1)
    words = torch.tensor(TRAINED)
    found, right = words[found][share > 0.9], words[right][share > 0.9]
    is_object = right < OBJECT_WORDS
    many = len(PATTERNS)
    colour = (found // many == right // many)[is_object]
    patterned = is_object & (right % many > 0)
    pattern = ((found % many == right % many) & (found < OBJECT_WORDS))[patterned]
    rows = {"background": (found == right)[~is_object], "colour": colour, "pattern": pattern}
    return {name: float(row.float().mean()) if len(row) else 1.0 for name, row in rows.items()}
