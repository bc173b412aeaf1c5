"""The kinds of synthetic scenes that quality is measured on; no training uses their seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wordmask.text.word_lists import default_background
from wordmask_bench import scenes, things
from wordmask_bench.scenes import Combinations, Scene


@dataclass(frozen=True)
class World:
    """One kind of scenes.

    Attributes:
        draw: makes the scene of a seed; its class map has indices into `classes`.
        classes: the words, those of objects first; at the end "" if there are backgrounds without a word.
        objects: the number of words of objects.
        never_trained: the words that no training named.
        background: words that compete for pixels, as of `run --background`.
    """

    draw: Callable[[int], Scene]
    classes: tuple[str, ...]
    objects: int
    never_trained: frozenset[str] = frozenset()
    background: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The classes that can be asked for."""
        return tuple(word for word in self.classes if word)

    @property
    def none(self) -> int:
        """What a pixel without a word counts as: the class "", or else len(classes)."""
        return len(self.words)


def _scene_of_things(seed: int, combinations: Combinations) -> Scene:
    """A scene in which all backgrounds have the class "", as nobody asks for them."""
    scene = things.generate(seed, combinations=combinations)
    count = len(things.vocabulary())
    words = tuple(word for word in scene.words if word in things.vocabulary())
    return dataclasses.replace(scene, class_map=np.minimum(scene.class_map, np.uint16(count)), words=words)


def _things(combinations: Combinations) -> World:
    words = things.vocabulary()
    background = tuple(dict.fromkeys((*default_background(), *scenes.BACKGROUNDS)))
    return World(lambda seed: _scene_of_things(seed, combinations), (*words, ""), len(words), background=background)


PATTERNS = World(
    lambda seed: scenes.generate(seed, combinations="test"),
    scenes.vocabulary(),
    len(scenes.vocabulary()) - len(scenes.BACKGROUNDS),
    scenes.HELD_OUT,
)
WORLDS = {"scenes": PATTERNS, "things": _things("test"), "things-unseen": _things("unseen")}
