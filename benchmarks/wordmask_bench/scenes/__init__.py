"""Synthetic scenes with exact labels, for training the tiny models and for measuring quality.

Objects of many shapes on procedural backgrounds. Words name local appearance: colour and pattern of an object ("red
striped"), or the background; shapes have no words. Every pixel has a word. Nothing is read from disk and no global
state is used: the same seed gives the same scene, byte for byte with the same numpy and OpenCV.

`python -m wordmask_bench.scenes --out DIR --count N --seed S` writes a folder of them.
"""

from __future__ import annotations

from wordmask_bench.scenes.folder import write_folder
from wordmask_bench.scenes.scene import LEAST_SIDE, MOST_SIDE, Scene, SceneInstance, generate
from wordmask_bench.scenes.words import BACKGROUNDS, COLOURS, HELD_OUT, PATTERNS, Combinations, vocabulary

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "HELD_OUT",
    "LEAST_SIDE",
    "MOST_SIDE",
    "PATTERNS",
    "Combinations",
    "Scene",
    "SceneInstance",
    "generate",
    "vocabulary",
    "write_folder",
]
