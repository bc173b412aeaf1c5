"""SAM2: the whole photo to an encoding, prompts on it to low-resolution masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from wordmask.arrays import Floats, Photo
from wordmask.backends import Graph, Value, to_host
from wordmask.bundle.manifest import Sam2
from wordmask.objects.device_graphs import square_inputs
from wordmask.objects.mask_choice import Candidates, MaskChooser, choose_as_sam2
from wordmask.types import EncodedPhoto, Prompt

MAPS = ("image_embed", "high_res_0", "high_res_1")
BATCH = 32  # prompts a run; bounds memory


def resize_for_sam2(photo: Photo, side: int) -> Floats:
    """The whole photo u8 (H, W, 3) as a square f32 (side, side, 3) of values 0 to 255, aspect not kept.

    Pillow's bilinear filter is the antialiased one of SAM2Transforms; cv2's are not. Each channel is resized in floats,
    as SAM2Transforms does: of bytes, Pillow rounds twice.
    """
    channels = photo.astype(np.float32).transpose(2, 0, 1)  # (3, H, W)
    if photo.shape[:2] == (side, side):
        return np.ascontiguousarray(channels.transpose(1, 2, 0))
    resized = (Image.fromarray(each).resize((side, side), Image.Resampling.BILINEAR) for each in channels)
    return np.stack([np.asarray(each) for each in resized], axis=2)


def encode_photo(graph: Graph, photo: Photo, side: int, square: Graph | None = None) -> EncodedPhoto:
    """SAM2's encoding of a photo. It stays on the graph's device.

    Args:
        graph: the bundle's `sam2_encoder`.
        photo: u8 (H, W, 3).
        side: of the square that the graph takes.
        square: resizes the photo on the graph's device (wordmask.objects.device_graphs); None does so on the host.
    """
    inputs = None if square is None else square_inputs(photo, side)
    if square is None or inputs is None:
        image: Value = resize_for_sam2(photo, side)[None]
    else:
        image = square.run(inputs, ("square",))["square"]
    return EncodedPhoto(graph.run({"image": image}, MAPS), (photo.shape[0], photo.shape[1]))


@dataclass(frozen=True, eq=False)
class MaskDecoder:
    """SAM2's decoder for the prompts of a photo.

    Attributes:
        graph: the bundle's `sam2_decoder`, or with `regions` its `sam2_mask_decoder`.
        constants: the bundle's.
        choose: takes one of the four masks of each prompt.
        batch_size: prompts a run, at most; None takes the graph's. The results do not depend on it.
        pick: brings only the chosen masks to the host (see Candidates).
        regions: gives the mask of each prompt, logits f32 (N, mask_size, mask_size).
    """

    graph: Graph
    constants: Sam2
    choose: MaskChooser = choose_as_sam2
    batch_size: int | None = None
    pick: Graph | None = None
    regions: Callable[[Sequence[Prompt]], Floats] | None = None


MaskSource = Callable[[MaskDecoder, EncodedPhoto, Sequence[Prompt]], tuple[Floats, Floats]]  # as decode_prompts


def decode_prompts(decoder: MaskDecoder, encoded: EncodedPhoto, prompts: Sequence[Prompt]) -> tuple[Floats, Floats]:
    """One mask a prompt.

    Prompts are grouped by their number of points: a padding point would change the mask.

    Args:
        decoder: the graph, and how one of its masks is chosen.
        encoded: the photo.
        prompts: N prompts with points in pixels of the photo.

    Returns:
        Logits f32 (N, mask_size, mask_size) and predicted IoU f32 (N,), in the prompts' order.
    """
    batch_size = decoder.batch_size or decoder.graph.preferred_batch_size or BATCH
    side = decoder.constants.mask_size
    masks, iou = np.empty((len(prompts), side, side), np.float32), np.empty(len(prompts), np.float32)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt.points)].append(index)
    for members in groups.values():
        for start in range(0, len(members), batch_size):
            batch = members[start : start + batch_size]
            asked = [prompts[i] for i in batch]
            candidates = _decode(decoder, encoded, asked)
            choice = decoder.choose(candidates, asked, decoder.constants)
            masks[batch] = candidates.take(choice)
            iou[batch] = candidates.iou[np.arange(len(batch)), choice]
    return masks, iou


def _decode(decoder: MaskDecoder, encoded: EncodedPhoto, prompts: Sequence[Prompt]) -> Candidates:
    """The four masks of some prompts with the same number of points."""
    height, width = encoded.size
    to_square = decoder.constants.image_size / np.array([width, height])
    inputs = {
        **encoded.maps,
        "point_coords": np.stack([prompt.points * to_square for prompt in prompts]).astype(np.float32),
        "point_labels": np.stack([prompt.labels for prompt in prompts]).astype(np.int32),
    }
    if decoder.regions is not None:
        inputs["mask_prompts"] = decoder.regions(prompts)[:, None]
    outputs = decoder.graph.run(inputs, ("masks",) if decoder.pick else ())
    return Candidates(outputs["masks"], to_host(outputs["iou"]), decoder.pick)
