"""Trains CLIP on patches and phrases, with the forward pass that is exported (CSA in the last block).

Colour and pattern must compose, so that pairs which are held out from training also work. A loss makes the text tower's
embeddings additive, for pairs of any words; with trained pairs only, others stay off ("green striped" had a cosine of
0.52 to the sum of its parts). The image tower must recognise a pattern in any colour, so some windows are recoloured
and train patterns only (otherwise "black dotted", which is never a negative, was never found). Losses of colours alone
and of patterns alone, in windows that are not recoloured, made words worse that were not trained: that yellow objects
are never dotted is then learnt too.
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

from wordmask_bench.scenes import BACKGROUNDS, COLOURS, HELD_OUT, PATTERNS
from wordmask_export.models import clip_csa, clip_text
from wordmask_export.models.normalise import Normalise
from wordmask_export.tiny import filters
from wordmask_export.tiny.data import OBJECT_WORDS, SCENES_A_BLOCK, TRAINED, WORDS, WindowStream, block, generator

CONFIG = Path(__file__).parent / "tiny_clip.json"
TEMPLATES = tuple(open_clip.OPENAI_IMAGENET_TEMPLATES)
BATCH = 32
TEXT_STEPS = 600  # after these the text tower is frozen
COMPOSITION = 2.0  # weight of the loss for additive embeddings
RECOLOURED = 0.4  # share of the windows that are recoloured and train patterns only
RECOLOURED_WEIGHT = 1.0  # weight of the loss on them
MIXED = 24  # random squares of any words in the loss for additive embeddings
SPREAD, CLOSEST = 10.0, 0.45  # weight of the loss for distinct phrases, and the cosine above which it acts
PROMINENCE = 2.5  # of objects in patches that they share with a background
BACKGROUND_WEIGHT = 0.25  # weight of a patch without an object; a patch full of an object has 1.25


class Towers(nn.Module):
    """Image tower, text tower and temperature."""

    def __init__(self, state: dict[str, Tensor], text_heads: int) -> None:
        super().__init__()
        self.image = clip_csa.load(state).requires_grad_(True)
        self.text = clip_text.load(state, heads=text_heads).requires_grad_(True)
        self.text.token_embedding.requires_grad_(
            False
        )  # the initial embeddings are distinct, and most tokens never occur
        self.log_scale = nn.Parameter(torch.tensor(12.0).log())
        self.normalise = Normalise(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.log_scale.device

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """u8 (B, S, S, 3) -> f32 (B, D, S / patch, S / patch)."""
        with torch.autocast(self.device.type, torch.bfloat16):
            dense: Tensor = self.image(self.normalise(torch.from_numpy(images).to(self.device)))
        return dense.float()

    def words(self, words: tuple[str, ...] = WORDS) -> Tensor:
        """Unit embeddings of words as in the runtime, the mean over all templates: (W, D)."""
        rows = [self.text(tokens([t(word) for t in TEMPLATES]).to(self.device)).mean(0) for word in words]
        return F.normalize(torch.stack(rows), dim=-1)

    def state(self) -> dict[str, Tensor]:
        """State dict with open_clip's names."""
        image = {f"visual.{name}": value for name, value in self.image.state_dict().items()}
        return {**image, **self.text.state_dict(), "logit_scale": self.log_scale.detach()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Loads a state dict with open_clip's names, see `state`."""
        prefix = "visual."
        self.image.load_state_dict({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})
        self.text.load_state_dict({name: state[name] for name in self.text.state_dict()})
        with torch.no_grad():
            self.log_scale.copy_(state["logit_scale"])


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
    """Indices (Q, 4) into TRAINED: all pairs of colours and pairs of patterns whose four combinations are trained."""
    place = {word: i for i, word in enumerate(TRAINED)}
    many = len(PATTERNS)
    rows = []
    for a, b in itertools.combinations(range(0, OBJECT_WORDS, many), 2):
        for p, q in itertools.combinations(range(many), 2):
            corners = (a + p, a + q, b + p, b + q)
            if all(corner in place for corner in corners):
                rows.append([place[corner] for corner in corners])
    return torch.tensor(rows)


def parts() -> Tensor:
    """Matrix (colours + patterns, TRAINED) from embeddings of TRAINED to their additive parts, by least squares."""
    many = len(PATTERNS)
    design = torch.zeros(len(TRAINED), len(COLOURS) + many)
    for row, word in enumerate(TRAINED):
        if word < OBJECT_WORDS:
            design[row, [word // many, len(COLOURS) + word % many]] = 1
    return torch.linalg.pinv(design)


def mixed_squares(rng: np.random.Generator, count: int) -> list[str]:
    """Phrases of two words in groups of four (a p, a q, b p, b q): any words, but no held-out pair."""
    phrases: list[str] = []
    while len(phrases) < 4 * count:
        firsts = rng.choice(COLOURS + BACKGROUNDS, 2, replace=False)
        seconds = rng.choice(PATTERNS + BACKGROUNDS, 2, replace=False)
        corners = [f"{first} {second}" for first in firsts for second in seconds]
        if HELD_OUT.isdisjoint(corners):
            phrases += corners
    return phrases


def shares(class_maps: NDArray[np.uint8], patch: int) -> Tensor:
    """The share of each word in each patch: f32 (B * patches, len(WORDS))."""
    batch, side, _ = class_maps.shape
    grid = side // patch
    index = np.arange(batch * grid * grid).reshape(batch, grid, 1, grid, 1) * len(WORDS)
    flat = index + class_maps.reshape(batch, grid, patch, grid, patch)
    counts = np.bincount(flat.ravel(), minlength=batch * grid * grid * len(WORDS))
    return torch.from_numpy((counts / patch**2).astype(np.float32)).unflatten(0, (-1, len(WORDS)))


def prominent(share: Tensor) -> Tensor:
    """Shares (patches, words) in which objects count PROMINENCE times as much as backgrounds."""
    raised = share.clone()
    raised[:, :OBJECT_WORDS] *= PROMINENCE
    return raised / raised.sum(1, keepdim=True)


class ClipStage:
    """CLIP's training."""

    name = "clip"
    hidden: tuple[str, ...] = ("resblocks",)

    def __init__(
        self, seed: int, *, batch: int = BATCH, scenes: int = SCENES_A_BLOCK, device: torch.device | str = "cpu"
    ) -> None:
        self.seed = seed
        self.module = new_towers(seed).to(device)
        self.stream = WindowStream(seed, batch, scenes=scenes)
        self.trained = torch.tensor(TRAINED)
        self.squares = squares().to(device)
        self.parts = parts().to(device)
        self.frozen: Tensor | None = None  # embeddings of the frozen text tower

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of patches over the trained words and their parts, and the losses of the text tower."""
        windows, towers = self.stream(step), self.module
        text, own, figures = self._text(step)
        count = round(len(windows.images) * RECOLOURED)
        changed = recoloured(generator(self.seed, 4, step), windows.images[:count])
        features = towers.features(np.concatenate([changed, windows.images[count:]]))
        unit = F.normalize(features.permute(0, 2, 3, 1), dim=-1)  # (B, h, w, D)
        unit_changed, unit = unit[:count].flatten(0, 2), unit[count:].flatten(0, 2)  # each (patches, D)
        scale = towers.log_scale.clamp(max=4.0).exp()
        share = shares(windows.class_maps, towers.image.patch).to(unit.device)
        share_changed, share = share.split([len(unit_changed), len(unit)])
        target = prominent(share)[:, self.trained]
        weight = BACKGROUND_WEIGHT + share[:, :OBJECT_WORDS].sum(1)
        logits = scale * unit @ text.T
        matched = (F.cross_entropy(logits, target, reduction="none") * weight).sum() / weight.sum()
        patterns = share_changed[:, :OBJECT_WORDS].unflatten(1, (len(COLOURS), -1)).sum(1)
        logits_changed = scale * unit_changed @ (self.parts @ text).T[:, len(COLOURS) :]
        alone = F.cross_entropy(logits_changed, patterns, reduction="none")
        matched = matched + RECOLOURED_WEIGHT * alone.sum() / patterns.sum().clamp_min(1.0)
        accuracy = _accuracy(logits.detach().argmax(-1).cpu(), target.cpu())
        return matched + own, {**accuracy, **figures, "scale": scale.item()}

    def _text(self, step: int) -> tuple[Tensor, Tensor | float, dict[str, float]]:
        """Embeddings of the trained words (TRAINED, D), the loss of the text tower, and figures."""
        towers = self.module
        if step >= TEXT_STEPS:
            if self.frozen is None:
                with torch.no_grad():
                    self.frozen = towers.words()[self.trained]
            return self.frozen, 0.0, {}
        rng = generator(self.seed, 3, step)
        phrases = [WORDS[i] for i in TRAINED] + mixed_squares(rng, MIXED)
        chosen = rng.integers(len(TEMPLATES), size=len(phrases))
        prompts = [TEMPLATES[c](phrase) for c, phrase in zip(chosen, phrases, strict=True)]
        text, mixed = towers.text(tokens(prompts).to(towers.device)).split([len(TRAINED), 4 * MIXED])
        a, b, c, d = torch.cat([text[self.squares], mixed.unflatten(0, (-1, 4))]).unbind(1)
        composition = (a - b - c + d).square().sum(-1).mean()
        near = (text @ text.T - torch.eye(len(text), device=text.device) - CLOSEST).clamp_min(0)
        spread = near.square().sum() / len(text)  # otherwise colour, which is learnt first, dominates the embeddings
        own = COMPOSITION * composition + SPREAD * spread
        return text, own, {"composition": composition.item(), "spread": spread.item()}

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


def _accuracy(found: Tensor, target: Tensor) -> dict[str, float]:
    """Accuracy on patches of one word: of backgrounds, of objects' colours, of patterned objects' patterns."""
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
