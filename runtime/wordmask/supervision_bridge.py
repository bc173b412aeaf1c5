"""Results as `supervision.Detections`, for its annotators, trackers and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wordmask import extras, rle

if TYPE_CHECKING:
    from supervision import Detections

    from wordmask.types import Segmentation


def detections(result: Segmentation) -> Detections:
    """See Segmentation.to_supervision."""
    extras.need("Segmentation.to_supervision", "supervision", extras.SUPERVISION)
    from supervision import Detections  # noqa: PLC0415

    found = result.instances
    masks = [rle.decode(instance.mask) for instance in found]
    return Detections(
        xyxy=np.array([instance.box for instance in found], np.float32).reshape(-1, 4),
        mask=np.array(masks, np.bool_).reshape(-1, *result.semantic.shape),
        confidence=np.array([instance.score for instance in found], np.float32),
        class_id=np.array([instance.class_index for instance in found], np.int64),
        data={"class_name": np.array([instance.word for instance in found], np.str_)},
    )
