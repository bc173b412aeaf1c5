"""What each stage of a bundle makes of a picture whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wordmask import resize
from wordmask.arrays import BoolMask, Floats
from wordmask.dense.classmap import ClassMap, classify
from wordmask.objects.prompts import extract_prompts
from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import EncodedPhoto, Options
from wordmask_bench.bundle_check.examples import Example

STEEP = 99  # percentile of a map's gradients that stands for its outlines
CLICKS = 3  # on an object: one alone may mean a part of it


@dataclass(frozen=True)
class Covered:
    """How a word's pixels lie: shares, 0 to 1, of what is certainly the object and of what is certainly not."""

    inside: float
    outside: float


@dataclass(frozen=True)
class Upsampled:
    """What LoftUp changes.

    Attributes:
        overlap: IoU of the word's pixels with LoftUp and with bilinear upsampling; 1 if neither gives it any.
        sharpening: how much steeper the outlines of the word's similarity are than bilinear's.
    """

    overlap: float
    sharpening: float


@dataclass(frozen=True)
class Figures:
    """Of one picture.

    Attributes:
        name: of the picture. word: of its object.
        clip: where the word wins, with bilinear upsampling.
        loftup: None if the bundle has none.
        sam2_iou: SAM2's own estimate for clicks on the object.
        sam2: where that mask lies.
        chain: where the masks of the word lie that the chain gives with default options.
    """

    name: str
    word: str
    clip: Covered
    loftup: Upsampled | None
    sam2_iou: float
    sam2: Covered
    chain: Covered


def measure(segmenter: Segmenter, example: Example) -> Figures:
    """Runs every stage once; the chain goes on from the class map with LoftUp everywhere, where the bundle has it."""
    queries = segmenter.embed(Vocabulary.parse(example.words, example.background))
    index, scale = example.words.index(example.word), segmenter.manifest.clip.logit_scale
    size = (example.photo.shape[0], example.photo.shape[1])

    def class_map(similarities: Floats) -> ClassMap:
        return classify(similarities, queries.class_starts, size, scale, threads=segmenter.threads)

    options = Options(use_loftup=False)
    bilinear = segmenter.similarities(example.photo, queries, options)
    dense, upsampled = class_map(bilinear), None
    plain = np.equal(dense.index, index)
    if segmenter.manifest.loftup is not None:
        sharp = segmenter.similarities(example.photo, queries, replace(options, use_loftup=True, upsample="full"))
        dense = class_map(sharp)
        sharpening = steepness(sharp[index]) / (steepness(bilinear[index]) or 1.0)
        upsampled = Upsampled(overlap(np.equal(dense.index, index), plain), sharpening)
    encoded = segmenter.encode(example.photo)
    iou, mask = _of_clicks(segmenter, encoded, example)
    result = segmenter.segment(example.photo, queries, Options(), dense=dense, encoded=encoded)
    clip, chain = covered(plain, example), covered(result.semantic == index + 1, example)
    return Figures(example.name, example.word, clip, upsampled, iou, covered(mask, example), chain)


def steepness(similarity: Floats) -> float:
    """Gradient at the outlines of a word's similarity f32 (h, w), per pixel, in its standard deviations."""
    rows, columns = np.gradient(similarity.astype(np.float64))
    return float(np.percentile(np.hypot(rows, columns), STEEP) / max(similarity.std(), 1e-12))


def overlap(first: BoolMask, second: BoolMask) -> float:
    """IoU of two masks; 1 if both are empty."""
    either = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / either) if either else 1.0


def covered(mask: BoolMask, example: Example) -> Covered:
    """How a mask bool (H, W) lies."""
    return Covered(float(mask[example.inside].mean()), float(mask[example.outside].mean()))


def _of_clicks(segmenter: Segmenter, encoded: EncodedPhoto, example: Example) -> tuple[float, BoolMask]:
    """SAM2's estimate of its IoU, and its mask bool (H, W), for clicks spread over the object."""
    outside = (~example.inside).astype(np.int32)
    clicks = Options(points_per_region=CLICKS)
    prompts = extract_prompts(outside, np.ones(encoded.size, np.float32), 1, clicks)
    low_res, iou = segmenter.decode(encoded, prompts[:1])  # the largest piece of it
    return float(iou[0]), resize.bilinear(low_res[0], encoded.size) > segmenter.manifest.sam2.mask_threshold
