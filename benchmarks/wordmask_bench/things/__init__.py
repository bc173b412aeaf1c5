"""Synthetic scenes of things with everyday names, drawn in several styles, on photos and on painted backgrounds.

The counterpart of `wordmask_bench.scenes`, whose words are colours and patterns: here a word names a thing ("dog",
"bicycle"), whatever its colour. The drawings are Noto's emoji and Open Clip Art, the photos are freely licensed. The
same seed gives the same scene, byte for byte with the same numpy and OpenCV.
"""

from __future__ import annotations

from wordmask_bench.things.behind import NO_WORD
from wordmask_bench.things.scene import classes, generate
from wordmask_bench.things.words import vocabulary

__all__ = ["NO_WORD", "classes", "generate", "vocabulary"]
