"""The similarities of pixels with words, however many words there are.

All that happens to similarities before the softmax (LoftUp's last product, averaging windows, resizing) is linear in
the words' embeddings. So of a vocabulary larger than their space only the similarities with the space's axes are
computed and kept, a few hundred maps; those with the words are made from them where they are needed, some pixels at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats

MOST_WORDS = 512  # whose maps are kept; TensorRT engines are built for as many (wordmask_export.tensorrt.profiles)
PART_BYTES = 32 << 20  # of similarities with all words that are made at once


@dataclass(frozen=True, eq=False)
class BasisProjection:
    """How the words' similarities are made of those with the axes of their space.

    Equal words are made once. A matrix product rounds them differently by their place (OpenBLAS with AVX2 does), and
    they would no longer tie.

    Attributes:
        embeddings: f32 (U, C), of the words that differ.
        places: (Q,), each word's among them; None where all differ.
    """

    embeddings: Floats
    places: NDArray[np.intp] | None

    @classmethod
    def of(cls, embeddings: Floats) -> BasisProjection:
        """Of all words, f32 (Q, C)."""
        distinct, places = np.unique(embeddings, axis=0, return_inverse=True)
        return cls(embeddings, None) if len(distinct) == len(embeddings) else cls(distinct, places.reshape(-1))

    @property
    def words(self) -> int:
        """Q."""
        return len(self.embeddings if self.places is None else self.places)

    def project(self, maps: Floats) -> Floats:
        """From f32 (C, H, W) to (Q, H, W)."""
        made: Floats = (self.embeddings @ maps.reshape(len(maps), -1)).reshape(-1, *maps.shape[1:])
        return made if self.places is None else made[self.places]


@dataclass(frozen=True, eq=False)
class Words:
    """What pixels are compared with.

    Attributes:
        embeddings: f32 (Q, D), unit length, of all words.
        class_starts: the index of each class's first word.
    """

    embeddings: Floats
    class_starts: Sequence[int]

    @cached_property
    def projection(self) -> BasisProjection | None:
        """None where the maps kept are the words' own."""
        return (
            BasisProjection.of(self.embeddings)
            if len(self.embeddings) > max(MOST_WORDS, self.embeddings.shape[1])
            else None
        )

    @property
    def basis(self) -> Floats:
        """Those whose maps are computed and kept, f32 (C, D): the words, or the axes of their space."""
        return self.embeddings if self.projection is None else np.eye(self.embeddings.shape[1], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Similarities:
    """Of the pixels of a picture with all words.

    Attributes:
        maps: f32 (C, H, W), of the pixels with the basis.
        projection: None where the basis are the words.
    """

    maps: Floats
    projection: BasisProjection | None = None

    @property
    def words(self) -> int:
        """Q."""
        return len(self.maps) if self.projection is None else self.projection.words

    def part(self, rows: slice, columns: slice) -> Floats:
        """Those of a part of the picture: f32 (Q, rows, columns), not to be written to."""
        maps = self.maps[:, rows, columns]
        return maps if self.projection is None else self.projection.project(maps)

    def bands(self) -> Iterator[slice]:
        """Rows of the picture, as many at once as PART_BYTES allow."""
        height, width = self.maps.shape[1:]
        rows = max(1, PART_BYTES // (4 * self.words * width))
        return (slice(row, row + rows) for row in range(0, height, rows))
