"""The similarities of pixels with words, for vocabularies of any size.

All that happens to similarities before the softmax (LoftUp's last product, averaging windows, resizing) is linear in
the words' embeddings. So for a vocabulary with more words than dimensions only the similarities with the basis vectors
of the space are computed and kept, a few hundred maps. Those with the words are projected from them where they are
needed, some pixels at a time.
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
    """Similarities with words as a product of embeddings and similarities with the basis vectors of their space.

    Equal words are projected once: a matrix product rounds them differently by their row (OpenBLAS with AVX2 does), and
    they would no longer tie.

    Attributes:
        embeddings: f32 (U, C), of the distinct words.
        rows: (Q,), each word's row in embeddings; None where all words differ.
    """

    embeddings: Floats
    rows: NDArray[np.intp] | None

    @classmethod
    def of(cls, embeddings: Floats) -> BasisProjection:
        """The projection for all words, f32 (Q, C)."""
        distinct, rows = np.unique(embeddings, axis=0, return_inverse=True)
        return cls(embeddings, None) if len(distinct) == len(embeddings) else cls(distinct, rows.reshape(-1))

    @property
    def words(self) -> int:
        """Q."""
        return len(self.embeddings if self.rows is None else self.rows)

    def project(self, maps: Floats) -> Floats:
        """From f32 (C, H, W) to (Q, H, W)."""
        projected: Floats = (self.embeddings @ maps.reshape(len(maps), -1)).reshape(-1, *maps.shape[1:])
        return projected if self.rows is None else projected[self.rows]


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
        """None where the words themselves are the basis."""
        return (
            BasisProjection.of(self.embeddings)
            if len(self.embeddings) > max(MOST_WORDS, self.embeddings.shape[1])
            else None
        )

    @property
    def basis(self) -> Floats:
        """The vectors whose maps are computed and kept, f32 (C, D): the words, or the axes of their space."""
        return self.embeddings if self.projection is None else np.eye(self.embeddings.shape[1], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Similarities:
    """Of the pixels of a picture with all words.

    Attributes:
        maps: f32 (C, H, W), similarities of the pixels with the basis.
        projection: from the basis to the words; None where the words are the basis.
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
