"""The values that flow between stages and out to the caller. Frozen and plain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordmask import extras, rle
from wordmask.arrays import BoolMask, Floats
from wordmask.backends import Value
from wordmask.options import Options
from wordmask.rle import RLE

if TYPE_CHECKING:
    from supervision import Detections

__all__ = [
    "RLE",
    "BoolMask",
    "EncodedPhoto",
    "Floats",
    "Instance",
    "Options",
    "Prompt",
    "Segmentation",
]


@dataclass(frozen=True, eq=False)
class Prompt:
    """What SAM2 is asked for one region of one class.

    Attributes:
        class_index: index into Vocabulary.classes.
        points: f32 (P, 2), x and y in pixels of the photo. A box comes first, as its two corners.
        labels: i32 (P,), 1 inside, 0 outside, 2 and 3 the box's top-left and bottom-right corner.
        confidence: mean probability of the class over the region, 0 to 1.
        region_size: pixels of the region.
    """

    class_index: int
    points: Floats
    labels: NDArray[np.int32]
    confidence: float
    region_size: int


@dataclass(frozen=True, eq=False)
class EncodedPhoto:
    """What SAM2's decoder needs of one photo.

    Attributes:
        maps: image_embed, high_res_0 and high_res_1 by name; f32, batch 1; on a GPU they stay there.
        size: height and width of the photo itself.
    """

    maps: Mapping[str, Value]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Instance:
    """One object: a mask with its word. Two are equal if all their values are.

    Attributes:
        word: first synonym of its class.
        class_index: index into the vocabulary.
        mask: over the whole photo; `mask.decode()` is bool (H, W).
        box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive.
        area: pixels of the mask.
        clip_confidence: mean class probability over the region that prompted it, 0 to 1.
        sam_iou: SAM2's own estimate of the mask's IoU.
        score: agreement * sam_iou.
        points: f32 (P, 2), the prompt points in pixels of the photo.
        labels: i32 (P,), their labels (see Prompt).
        agreement: how probable the word is over the mask: the mean, over its pixels, of the class map's probability
            where that has the word, and of 0 elsewhere. 1 where no class map was asked.
    """

    word: str
    class_index: int
    mask: RLE
    box: tuple[int, int, int, int]
    area: int
    clip_confidence: float
    sam_iou: float
    score: float
    points: Floats
    labels: NDArray[np.int32]
    agreement: float = 1.0

    def __eq__(self, other: object) -> bool:
        return _same(self, other, [field.name for field in fields(self)]) if isinstance(other, Instance) else False

    def __hash__(self) -> int:
        return hash((self.word, self.class_index, self.mask))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """All that is known of one photo of height H and width W. Two that differ in `seconds` alone are equal.

    Attributes:
        words: the class names, in the vocabulary's order.
        semantic: u16 (H, W), 0 none, i + 1 the i-th word; instances painted in rising score.
        dense: u16 (H, W), the class map before SAM2, same coding (0 where a background word won).
        confidence: f32 (H, W), probability of the winning class (background included).
        instances: in falling score.
        word_confidence: per word its highest probability at any pixel.
        prompt_count: prompts given to SAM2, before duplicates were dropped.
        seconds: time spent a stage.
    """

    words: tuple[str, ...]
    semantic: NDArray[np.uint16]
    dense: NDArray[np.uint16]
    confidence: Floats
    instances: tuple[Instance, ...]
    word_confidence: tuple[float, ...]
    prompt_count: int
    seconds: dict[str, float]

    def __eq__(self, other: object) -> bool:
        found = [field.name for field in fields(Segmentation) if field.name != "seconds"]
        return _same(self, other, found) if isinstance(other, Segmentation) else False

    def __hash__(self) -> int:
        return hash((self.words, self.instances))

    def to_supervision(self) -> Detections:
        """The instances as supervision's Detections, for its annotators, trackers and metrics.

        Returns:
            In falling score: xyxy f32 (N, 4) with exclusive ends, mask bool (N, H, W), confidence f32 (N,) (the
            score), class_id i64 (N,) (index into `words`), and data["class_name"] (N,).

        Raises:
            MissingExtraError: supervision is not installed.
        """
        extras.need("Segmentation.to_supervision", "supervision", extras.SUPERVISION)
        from supervision import Detections  # noqa: PLC0415

        found = self.instances
        masks = [rle.decode(instance.mask) for instance in found]
        return Detections(
            xyxy=np.array([instance.box for instance in found], np.float32).reshape(-1, 4),
            mask=np.array(masks, np.bool_).reshape(-1, *self.semantic.shape),
            confidence=np.array([instance.score for instance in found], np.float32),
            class_id=np.array([instance.class_index for instance in found], np.int64),
            data={"class_name": np.array([instance.word for instance in found], np.str_)},
        )


def _same(first: object, second: object, names: Iterable[str]) -> bool:
    """Whether attributes are equal, arrays by their values."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in names]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)
