"""SCLIP's protocol for each dataset: names of the classes, scales and thresholds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from wordmask.system.package_data import data_path
from wordmask.text.cleaning import as_read
from wordmask_bench.datasets import DatasetError

Synonyms = tuple[str, ...]
SCLIP_SCALE, SCLIP_SHORT_SIDE = 40.0, 336
SCLIP_WINDOW, SCLIP_STRIDE = 224, 112


@dataclass(frozen=True)
class Protocol:
    """How similarities become a class map, as in SCLIP's configs/cfg_*.py.

    Attributes:
        logit_scale: multiplies the similarities before the softmax; None uses the bundle's.
        short_side: length in pixels to which the photo's short side is resized; None uses the bundle's.
        background: whether class 0 is the background.
        min_probability: pixels whose most probable class is less probable become class 0.
        min_area: a class is dropped unless its share of the pixels that are not class 0 is above this.
    """

    logit_scale: float | None = SCLIP_SCALE
    short_side: int | None = SCLIP_SHORT_SIDE
    background: bool = False
    min_probability: float = 0.0
    min_area: float | None = None

    def __post_init__(self) -> None:
        if not self.background and (self.min_probability or self.min_area is not None):
            raise ValueError("min_probability and min_area need a background: pixels under a threshold become class 0")


PROTOCOLS = {
    "voc21": Protocol(logit_scale=65, background=True, min_probability=0.1, min_area=0.1),
    "voc20": Protocol(),
    "context59": Protocol(),
    "context60": Protocol(logit_scale=50, background=True, min_probability=0.1),
    "coco-object": Protocol(logit_scale=50, background=True, min_probability=0.1),
    "coco-stuff": Protocol(short_side=448),
    "cityscapes": Protocol(short_side=560),
    "ade20k": Protocol(),
}


def class_names(dataset: str) -> tuple[Synonyms, ...]:
    """The classes of one of PROTOCOLS in the order of its labels, each with its synonyms."""
    names = _published()
    background = names["background"]
    lines = {
        "voc21": [*background, *names["voc"]],
        "voc20": names["voc"],
        "context59": names["context"],
        "context60": ["background", *names["context"]],
        "coco-object": [*background, *names["coco-object"]],
    }
    return parse_classes(
        lines[dataset] if dataset in lines else names[dataset], background=PROTOCOLS[dataset].background
    )


def parse_classes(lines: Sequence[str], *, background: bool = False) -> tuple[Synonyms, ...]:
    """Splits class lines into synonyms at commas.

    Args:
        lines: in the order of the labels.
        background: the first line is the background, whose words may be those of other classes, as in SCLIP's lists.

    Raises:
        DatasetError: a line has no word, or two classes have a word that CLIP reads as the same.
    """
    classes = tuple(tuple(word.strip() for word in line.split(",") if as_read(word)) for line in lines)
    if () in classes:
        raise DatasetError(f"class {classes.index(())} has no word: give at least one a line")
    seen: dict[tuple[str, ...], int] = {}
    for number, synonyms in list(enumerate(classes))[background:]:
        for word in synonyms:
            first = seen.setdefault(as_read(word), number)
            if first != number:
                found = f"classes {first} and {number} both have the word {word!r}, as CLIP reads it"
                raise DatasetError(f"{found}: it could not tell them apart; rename one")
    return classes


@cache
def _published() -> dict[str, list[str]]:
    path = data_path("wordmask_bench.datasets", "data/class_names.json")
    names: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))["classes"]
    return names
