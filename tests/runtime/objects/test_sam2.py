"""How prompts are put to SAM2's decoder."""

from __future__ import annotations

import numpy as np

from wordmask.bundle.manifest import Sam2
from wordmask.objects import sam2
from wordmask.objects.sam2 import MaskDecoder, decode_prompts
from wordmask.types import EncodedPhoto, Prompt

CONSTANTS = Sam2(image_size=256, mask_size=64, mask_threshold=0.0)


class Recorder:
    """Answers with masks that tell which point they belong to; of each prompt the third is the best."""

    def __init__(self, rows=None):
        self.calls = []
        self.preferred_batch_size = rows

    def run(self, inputs, keep=()):
        self.calls.append(inputs)
        marks = inputs["point_coords"][:, 0, 0, None] + np.array([0.0, 0.1, 0.3, 0.2], np.float32)  # (N, 4)
        masks = np.broadcast_to(marks[:, :, None, None], (len(marks), 4, 64, 64)).astype(np.float32)
        return {"masks": masks, "iou": marks.astype(np.float32)}

    def cancel(self):
        raise AssertionError


def prompt(x, labels=(1,)):
    points = np.full((len(labels), 2), x, np.float32)
    return Prompt(0, points, np.array(labels, np.int32), 0.9, 100)


def decode(prompts, size=(128, 512), rows=None):
    graph = Recorder(rows)
    maps = {"image_embed": np.zeros((1, 2), np.float32)}
    return graph.calls, *decode_prompts(MaskDecoder(graph, CONSTANTS), EncodedPhoto(maps, size), prompts)


def test_points_are_scaled_to_sam2s_square():
    calls, _, _ = decode([prompt(64)])
    np.testing.assert_allclose(calls[0]["point_coords"][0, 0], [32, 128])  # 64 of 512 wide, of 128 high


def test_prompts_are_grouped_by_their_number_of_points_and_come_back_in_order():
    prompts = [prompt(8), prompt(16, (1, 0)), prompt(24), prompt(32, (2, 3)), prompt(40, (1, 0))]
    calls, masks, iou = decode(prompts)
    assert [call["point_labels"].shape for call in calls] == [(2, 1), (3, 2)]
    np.testing.assert_allclose(iou, [4.3, 8, 12.3, 16, 20])
    np.testing.assert_allclose(masks[:, 0, 0], iou)


def test_many_prompts_go_in_batches():
    calls, _, iou = decode([prompt(i) for i in range(sam2.BATCH + 3)])
    assert [len(call["point_coords"]) for call in calls] == [sam2.BATCH, 3]
    assert (np.diff(iou) > 0).all()


def test_a_graph_that_takes_more_prompts_at_once_gets_them():
    calls, _, iou = decode([prompt(i) for i in range(70)], rows=64)
    assert [len(call["point_coords"]) for call in calls] == [64, 6]
    assert (np.diff(iou) > 0).all()


def test_no_prompts_need_no_run():
    calls, masks, iou = decode([])
    assert (calls, masks.shape, iou.shape) == ([], (0, 64, 64), (0,))
