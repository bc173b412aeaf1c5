"""SAM2: the whole photo to an encoding, prompts on it to low-resolution masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.arrays import Floats, Photo
from wordmask.backends import Graph, run_to_host
from wordmask.bundle.manifest import Sam2
from wordmask.types import EncodedPhoto, Prompt

MAPS = ("image_embed", "high_res_0", "high_res_1")
BATCH = 32  # prompts a run; bounds memory
MaskSource = Callable[[Graph, EncodedPhoto, Sequence[Prompt], Sam2, int], tuple[Floats, Floats]]  # as decode_prompts


def resize_for_sam2(photo: Photo, size: int) -> Photo:
    """The whole photo as a square, aspect not kept: u8 (size, size, 3).

    Pillow's bilinear filter is the antialiased triangle filter that sam2 applies; cv2's are not.
    """
    if photo.shape[:2] == (size, size):
        return photo
    return np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.BILINEAR))


def encode_photo(graph: Graph, square: NDArray[np.uint8], size: tuple[int, int]) -> EncodedPhoto:
    """SAM2's encoding of a photo of height and width `size`, given as SAM2's square u8 (S, S, 3).

    It stays on the graph's device.
    """
    return EncodedPhoto(graph.run({"image": square[None]}, MAPS), size)


def decode_prompts(
    graph: Graph, encoded: EncodedPhoto, prompts: Sequence[Prompt], constants: Sam2, batch_size: int | None = None
) -> tuple[Floats, Floats]:
    """One mask a prompt.

    A single point takes the best of SAM2's three masks by its own estimate; several points or a box take its
    single-mask output. Prompts are grouped by their number of points: a padding point would change the mask.

    Args:
        graph: the bundle's `sam2_decoder`.
        encoded: the photo.
        prompts: with points in pixels of the photo.
        constants: the bundle's.
        batch_size: prompts a run, at most; by default the graph's. The results do not depend on it.

    Returns:
        Logits f32 (N, mask_size, mask_size) and predicted IoU f32 (N,), in the prompts' order.
    """
    batch_size = batch_size or graph.preferred_batch_size or BATCH
    side = constants.mask_size
    masks, iou = np.empty((len(prompts), side, side), np.float32), np.empty(len(prompts), np.float32)
    height, width = encoded.size
    to_square = constants.image_size / np.array([width, height])
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt.points)].append(index)
    for count, members in groups.items():
        for start in range(0, len(members), batch_size):
            batch = members[start : start + batch_size]
            outputs = run_to_host(
                graph,
                {
                    **encoded.maps,
                    "point_coords": np.stack([prompts[i].points * to_square for i in batch]).astype(np.float32),
                    "point_labels": np.stack([prompts[i].labels for i in batch]).astype(np.int32),
                    "multimask": np.full(len(batch), int(count == 1), np.int32),
                },
            )
            masks[batch], iou[batch] = outputs["masks"], outputs["iou"]
    return masks, iou
