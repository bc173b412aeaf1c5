"""Segments one photo at a time and repeats no stage whose inputs have not changed.

Moving a threshold asks SAM2's decoder alone; other words, or LoftUp on or off, need CLIP too; each photo is encoded for
SAM2 once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from wordmask.demo.bounded_cache import LruCache
from wordmask.dense.classmap import ClassMap
from wordmask.errors import PhotoError
from wordmask.options import OPTIONS
from wordmask.photo.options import DEFAULTS, ReadOptions
from wordmask.photo.reading import Photo, load_file
from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary, check_background
from wordmask.timing import StageTimer
from wordmask.types import EncodedPhoto, Options, Segmentation

MOST_BYTES = 1 << 30  # kept between requests: about five photos of 12 megapixels


@dataclass(frozen=True, eq=False)
class Answer:
    """A photo and what was found in it.

    Attributes:
        photo: u8 (H, W, 3).
        result: its segmentation.
        seconds: of each stage that ran for this answer; empty if all was cached.
        notes: warnings of the decoder.
    """

    photo: NDArray[np.uint8]
    result: Segmentation
    seconds: Mapping[str, float]
    notes: tuple[str, ...]


class Workbench:
    """A segmenter that caches its stages for all users of the page. Thread-safe: calls wait for each other."""

    def __init__(
        self,
        segmenter: Segmenter,
        background: Sequence[str],
        *,
        most_bytes: int = MOST_BYTES,
        reading: ReadOptions = DEFAULTS,
    ) -> None:
        """Args: background words (see Vocabulary); most_bytes: memory kept between requests; how photos are read."""
        check_background(background)
        self.segmenter = segmenter
        self._background = tuple(background)
        self._reading = reading
        self._kept = LruCache(most_bytes)
        self._lock = Lock()

    def photo(self, path: Path) -> NDArray[np.uint8]:
        """The pixels of a photo, u8 (H, W, 3).

        Raises:
            PhotoError: the file is no photo, damaged, or larger than allowed.
        """
        with self._lock:
            return self._photo(_hash(path), path).pixels

    def segment(self, path: Path, words: Sequence[str], options: Options) -> Answer:
        """Segments a photo.

        Args:
            path: its file.
            words: class lines.
            options: as for a run.

        Raises:
            PhotoError: as of `photo`.
            VocabularyError: no words.
        """
        vocabulary, timer = Vocabulary.parse(words, self._background), StageTimer()
        with self._lock:
            photo_id = _hash(path)
            photo = self._photo(photo_id, path)
            result = self._kept.get(
                ("result", photo_id, vocabulary, options),
                lambda: self._segment(photo_id, photo, vocabulary, options, timer),
                lambda result: result.semantic.nbytes + result.dense.nbytes,
            )
        return Answer(photo.pixels, result, timer.seconds, photo.notes)

    def _photo(self, photo_id: bytes, path: Path) -> Photo:
        return self._kept.get(
            ("photo", photo_id), lambda: load_file(path, self._reading), lambda photo: photo.pixels.nbytes
        )

    def _segment(
        self, photo_id: bytes, photo: Photo, vocabulary: Vocabulary, options: Options, timer: StageTimer
    ) -> Segmentation:
        queries = self.segmenter.embed(vocabulary)
        encoded = self._kept.get(
            ("encoded", photo_id), lambda: self.segmenter.encode(photo.pixels, timer), _encoded_bytes
        )
        class_map = self._kept.get(
            ("class map", photo_id, vocabulary, for_class_map(options)),
            lambda: self.segmenter.class_map(photo.pixels, queries, options, timer),
            _class_map_bytes,
        )
        return self.segmenter.segment(photo.pixels, queries, options, timer, dense=class_map, encoded=encoded)


def for_class_map(options: Options) -> Options:
    """Options with the defaults of those that do not change the class map, so that equal keys share one."""
    return replace(options, **{name: value for name, (value, info) in OPTIONS.items() if not info.class_map})


def _hash(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise PhotoError("IO", f"{str(path)!r}: it cannot be read ({error.strerror}): drop it again") from error


def _encoded_bytes(encoded: EncodedPhoto) -> int:
    return sum(math.prod(value.shape) * value.dtype.itemsize for value in encoded.maps.values())


def _class_map_bytes(class_map: ClassMap) -> int:
    return class_map.index.nbytes + class_map.confidence.nbytes
