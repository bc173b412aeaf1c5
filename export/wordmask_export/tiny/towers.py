"""CLIP's two towers, and the classes that its patches and LoftUp's pixels are classified among."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wordmask.text.word_lists import default_background
from wordmask_export.models import clip_csa, clip_text
from wordmask_export.models.normalise import Normalise
from wordmask_export.tiny import filters
from wordmask_export.tiny.data import NO_WORD, PATTERN_WORDS, TRAINED, WORDS, block

CONFIG = Path(__file__).parent / "tiny_clip.json"
TEMPLATES = tuple(open_clip.OPENAI_IMAGENET_TEMPLATES)
OTHER_BACKGROUNDS = tuple(word for word in default_background() if word not in WORDS)  # photos show one or another
COLUMNS = (*TRAINED, NO_WORD)  # the classes that patches and pixels are classified among
TRAINED_PAIRS = sum(i < PATTERN_WORDS for i in TRAINED)  # colours with patterns, the first ones of TRAINED


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

    def columns(self) -> Tensor:
        """Unit embeddings of the trained words, then of OTHER_BACKGROUNDS: (rows, D)."""
        return self.words(tuple(WORDS[i] for i in TRAINED) + OTHER_BACKGROUNDS)


def class_logits(similarity: Tensor, *, patterns: bool) -> Tensor:
    """Logits of COLUMNS (..., len(COLUMNS)) from similarities to `Towers.columns`.

    NO_WORD has that of the likeliest of OTHER_BACKGROUNDS. Without `patterns` no colour with a pattern is likely: a red
    apple may also be called "red plain".
    """
    last = len(TRAINED)
    logits = torch.cat([similarity[..., :last], similarity[..., last:].amax(-1, keepdim=True)], dim=-1)
    if not patterns:
        logits = torch.cat([torch.full_like(logits[..., :TRAINED_PAIRS], -100.0), logits[..., TRAINED_PAIRS:]], dim=-1)
    return logits


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
