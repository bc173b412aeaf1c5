"""What a run keeps of each photo before its prompts, so that a later one with other thresholds goes on from there.

Each photo has a class map and an encoding of SAM2, and with a report a class map without LoftUp, in files of their own.
A file begins with a key: a digest of all that its content depends on. What has another key, or is damaged, is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask import __version__
from wordmask.backends import to_host
from wordmask.dense.classmap import ClassMap
from wordmask.errors import OutputError
from wordmask.formats.packed_arrays import pack, unpack
from wordmask.objects.sam2 import MAPS
from wordmask.options import OPTIONS, REUSE_MAY_DIFFER
from wordmask.outputs.layout import BILINEAR_MAPS, CLASS_MAPS, ENCODINGS, INTERMEDIATE, output_paths
from wordmask.outputs.resume import RESUME_MAY_DIFFER
from wordmask.outputs.store import Store
from wordmask.photo.job import Job
from wordmask.photo.reading import Photo
from wordmask.photo.url import Url
from wordmask.pipeline import Segmenter
from wordmask.run.request import RunRequest, SegmenterInfo
from wordmask.timing import StageTimer
from wordmask.types import EncodedPhoto

FORMAT = 1  # of the files; another one is not read
# Settings that change class maps, and not encodings.
_OF_WORDS = {
    "vocabulary",
    "background",
    "upsampler_device",
    *(name for name, (_, info) in OPTIONS.items() if info.class_map),
}


@dataclass(frozen=True, eq=False)
class Intermediate:
    """What is known of a photo before its prompts; None where it is not.

    Attributes:
        class_map: of the photo.
        encoded: SAM2's encoding.
        bilinear: u16 (H, W), the class map without LoftUp, coded as Segmentation.dense.
        notes: warnings of the photo's decoder.
    """

    class_map: ClassMap | None = None
    encoded: EncodedPhoto | None = None
    bilinear: NDArray[np.uint16] | None = None
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> frozenset[str]:
        """Those that are known, by the names of their folders."""
        values = {CLASS_MAPS: self.class_map, ENCODINGS: self.encoded, BILINEAR_MAPS: self.bilinear}
        return frozenset(kind for kind, value in values.items() if value is not None)


@dataclass(frozen=True)
class IntermediateFiles:
    """The files of a run.

    Attributes:
        store: of the run's outputs.
        settings: digests of what the files depend on beside the photo, by kind.
        classes: the number of classes, the background's included.
    """

    store: Store
    settings: Mapping[str, str]
    classes: int

    @classmethod
    def of(cls, request: RunRequest, info: SegmenterInfo, store: Store) -> IntermediateFiles:
        """The files of a request."""
        vocabulary = request.queries.vocabulary
        recorded = {**request.recorded_settings(info), "bundle": info.manifest.bundle_id}
        own = {name: value for name, value in recorded.items() if name not in {*RESUME_MAY_DIFFER, *REUSE_MAY_DIFFER}}
        of_photo = {name: value for name, value in own.items() if name not in _OF_WORDS}
        words = [
            vocabulary.classes,
            vocabulary.background,
            hashlib.sha256(request.queries.embeddings.tobytes()).hexdigest(),
        ]
        return cls(
            store,
            {
                CLASS_MAPS: _digest(CLASS_MAPS, own, words),
                ENCODINGS: _digest(ENCODINGS, of_photo),
                BILINEAR_MAPS: _digest(BILINEAR_MAPS, own, words),
            },
            len(request.queries.class_starts),
        )

    def read(self, job: Job) -> Intermediate:
        """What was kept of a photo and can be used."""
        known = Intermediate()
        for kind in INTERMEDIATE:
            try:
                header, arrays = unpack(next(self.store.read([output_paths(job.name)[kind]])))
                key, *notes = json.loads(header)
                if key == self._key(kind, job):
                    known = replace(_READERS[kind](known, arrays), notes=tuple(notes))
            except (OutputError, ValueError, LookupError, TypeError):  # missing or damaged
                continue
        return known

    def write(self, job: Job, known: Intermediate, kinds: Collection[str]) -> None:
        """Keeps what is known of a photo, of these kinds.

        Raises:
            OutputError: it cannot be written.
        """
        arrays: dict[str, Mapping[str, NDArray[Any]]] = {}
        if known.class_map is not None:
            index = known.class_map.index.astype(np.min_scalar_type(self.classes))
            arrays[CLASS_MAPS] = {
                "index": index,
                "confidence": known.class_map.confidence,
                "best": known.class_map.best,
            }
        if known.encoded is not None:
            maps = {name: to_host(value) for name, value in known.encoded.maps.items()}
            arrays[ENCODINGS] = {**maps, "size": np.array(known.encoded.size)}
        if known.bilinear is not None:
            arrays[BILINEAR_MAPS] = {"labels": known.bilinear}
        paths = output_paths(job.name)
        self.store.write(
            {
                paths[kind]: [pack(json.dumps([self._key(kind, job), *known.notes]), found)]
                for kind, found in arrays.items()
                if kind in kinds
            }
        )

    def _key(self, kind: str, job: Job) -> str:
        place = str(job.path) if isinstance(job.path, Url) else job.path.absolute()
        return _digest(self.settings[kind], os.fsencode(place).hex(), job.stamp)


def _with_class_map(known: Intermediate, arrays: Mapping[str, NDArray[Any]]) -> Intermediate:
    found = ClassMap(arrays["index"].astype(np.int32), arrays["confidence"], arrays["best"])
    return replace(known, class_map=found)


def _with_encoding(known: Intermediate, arrays: Mapping[str, NDArray[Any]]) -> Intermediate:
    height, width = arrays["size"].tolist()
    found = EncodedPhoto({name: arrays[name] for name in MAPS}, (height, width))
    return replace(known, encoded=found)


def _with_bilinear(known: Intermediate, arrays: Mapping[str, NDArray[Any]]) -> Intermediate:
    return replace(known, bilinear=arrays["labels"])


_READERS = {CLASS_MAPS: _with_class_map, ENCODINGS: _with_encoding, BILINEAR_MAPS: _with_bilinear}


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps([FORMAT, __version__, *values], sort_keys=True).encode()).hexdigest()


def analyse(
    segmenter: Segmenter, photo: Photo, request: RunRequest, known: Intermediate, timer: StageTimer, *, bilinear: bool
) -> Intermediate:
    """Adds what is not known of a photo, as `Segmenter.segment` makes it.

    Args:
        segmenter: runs the models.
        photo: decoded.
        request: has words and options.
        known: what was kept.
        timer: takes the seconds of each stage.
        bilinear: whether the class map without LoftUp is wanted.
    """
    pixels, queries, options = photo.pixels, request.queries, request.options
    with ThreadPoolExecutor(1, thread_name_prefix="sam2") as side_branch:
        encoding = side_branch.submit(lambda: known.encoded or segmenter.encode(pixels, timer))
        class_map = known.class_map or segmenter.class_map(pixels, queries, options, timer)
        labels = known.bilinear
        if bilinear and labels is None:
            labels = bilinear_labels(segmenter, photo, request, timer)
        return Intermediate(class_map, encoding.result(), labels, photo.notes)


def bilinear_labels(segmenter: Segmenter, photo: Photo, request: RunRequest, timer: StageTimer) -> NDArray[np.uint16]:
    """The class map without LoftUp, for comparison; coded as Segmentation.dense."""
    with timer.measure("bilinear_map"):
        plain = replace(request.options, use_loftup=False)
        found = segmenter.class_map(photo.pixels, request.queries, plain)
        return found.labels(len(request.queries.vocabulary.classes))
