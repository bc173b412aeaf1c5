"""The similarities of pixels with words, however many words there are.

All that happens to similarities before the softmax (LoftUp's last product, averaging windows, resizing) is linear in
the words' embeddings. So of a vocabulary larger than their space only the similarities with the space's axes are
computed and kept, a few hundred maps; those with the words are made from them where they are needed, some pixels at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wordmask.types import Floats

MOST_WORDS = 512  # whose maps are kept; TensorRT engines are built for as many (wordmask_export.profiles)
PART_BYTES = 32 << 20  # of similarities with all words that are made at once


@dataclass(frozen=True, eq=False)
class Words:
    """What pixels are compared with.

    Attributes:
        embeddings: f32 (Q, D), unit length, of all words.
        class_starts: the index of each class's first word.
    """

    embeddings: Floats
    class_starts: Sequence[int]

    @property
    def mixing(self) -> Floats | None:
        """None where the maps kept are the words' own; else how the words' are made of the axes': f32 (Q, D)."""
        return self.embeddings if len(self.embeddings) > max(MOST_WORDS, self.embeddings.shape[1]) else None

    @property
    def probes(self) -> Floats:
        """Those whose maps are computed and kept, f32 (C, D): the words, or the axes of their space."""
        return self.embeddings if self.mixing is None else np.eye(self.embeddings.shape[1], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Similarities:
    """Of the pixels of a picture with all words.

    Attributes:
        maps: f32 (C, H, W), of the pixels with the probes.
        mixing: f32 (Q, C), see Words.
    """

    maps: Floats
    mixing: Floats | None = None

    @property
    def words(self) -> int:
        """Q."""
        return len(self.maps if self.mixing is None else self.mixing)

    def part(self, rows: slice, columns: slice) -> Floats:
        """Those of a part of the picture: f32 (Q, rows, columns), not to be written to."""
        maps = self.maps[:, rows, columns]
        if self.mixing is None:
            return maps
        made: Floats = self.mixing @ maps.reshape(len(maps), -1)
        return made.reshape(-1, *maps.shape[1:])

    def bands(self) -> Iterator[slice]:
        """Rows of the picture, as many at once as PART_BYTES allow."""
        height, width = self.maps.shape[1:]
        rows = max(1, PART_BYTES // (4 * self.words * width))
        return (slice(row, row + rows) for row in range(0, height, rows))
