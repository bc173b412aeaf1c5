"""Trains SAM2, sam2's own modules, on clicks and boxes; what is exported is what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from wordmask_bench.scenes import BACKGROUNDS, COLOURS, PATTERNS
from wordmask_export.models import new_sam2
from wordmask_export.sam2_graphs import MEAN, STD, Normalise
from wordmask_export.tiny.data import OBJECT_WORDS, generator
from wordmask_export.tiny.prompts import PromptStream

CONFIG = Path(__file__).parent / "tiny_sam2.yaml"
WHOLE_FROM = 0.8  # share of the steps after which whole squares are seen
LOOKS = 0.5  # weight of naming colour and pattern: masks alone teach the encoder slowly
ASTRAY = 0.3  # weight of the points' tokens looking at their points
LOOK_HERE = 6.0  # how strongly a click's token looks at the click's place before training
FINE_POSITIONS = 3.0  # spread of half the click's position frequencies, sam2's own is 1


class Sam2(nn.Module):
    """sam2's model with the bytes' normalisation, on the whole square or a part of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Any = new_sam2(OmegaConf.load(CONFIG))
        self.normalise = Normalise(MEAN, STD)
        frequencies = self.model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        frequencies[:, ::2] *= FINE_POSITIONS
        width = self.model.hidden_dim
        looks = 1 + len(COLOURS) + len(BACKGROUNDS) + len(PATTERNS)
        self.readers = nn.ModuleList([nn.Linear(n, looks) for n in (width // 8, width // 4, width, width)])
        self._ready_to_look()
        self.seen: list[tuple[Any, Tensor, Tensor]] = []  # of each attention of tokens to places: it, queries, keys
        transformer = self.model.sam_mask_decoder.transformer
        watched = [layer.cross_attn_token_to_image for layer in transformer.layers]
        for attention in (*watched, transformer.final_attn_token_to_image):
            attention.register_forward_pre_hook(self._watch, with_kwargs=True)
        self.model.image_encoder.trunk.pos_embed.requires_grad_(False)
        for module in (self.model.memory_attention, self.model.memory_encoder):  # for video, never used here
            module.requires_grad_(False)

    def _watch(self, attention: Any, _: tuple[Any, ...], inputs: dict[str, Tensor]) -> None:
        self.seen.append((attention, inputs["q"], inputs["k"]))

    def _ready_to_look(self) -> None:
        """Starts tokens and image positions off attending to each other where their position embeddings agree.

        The embeddings are sines, then cosines: each head gets whole pairs of some frequencies, so that the product of
        two projected places falls with their distance; what else is in a token or a feature starts small beside them.
        """
        transformer = self.model.sam_mask_decoder.transformer
        names = ("cross_attn_token_to_image", "cross_attn_image_to_token")
        both_ways = [getattr(layer, name) for layer in transformer.layers for name in names]
        with torch.no_grad():
            for attention in (*both_ways, transformer.final_attn_token_to_image):
                inner, width = attention.q_proj.weight.shape
                chosen = torch.arange(inner // 2).repeat_interleave(2) + torch.arange(inner) % 2 * (width // 2)
                for projection in (attention.q_proj, attention.k_proj):
                    projection.weight.mul_(0.3)
                    projection.weight[torch.arange(inner), chosen] += LOOK_HERE**0.5
            for layer in transformer.layers:
                for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
                    norm.weight.mul_(0.3)
            for convolution in self.model.image_encoder.neck.convs[:2]:
                convolution.conv.weight.mul_(0.5)
            for reader in self.readers:
                cast(nn.Linear, reader).weight.mul_(4.0)

    @property
    def size(self) -> int:
        """Side of the whole square."""
        return int(self.model.image_size)

    def encode(self, images: Tensor, offset: tuple[int, int]) -> list[Tensor]:
        """u8 (B, s, s, 3), a part at (y, x) -> high_res_0, high_res_1, image_embed."""
        model, trunk, side = self.model, self.model.image_encoder.trunk, images.shape[1] // 4
        grid = self.size // 4
        top, left = offset[0] // 4, offset[1] // 4
        whole = trunk.pos_embed_window.tile(1, 1, grid // trunk.window_spec[0], grid // trunk.window_spec[0])
        whole = whole.permute(0, 2, 3, 1)  # (1, S/4, S/4, C); the coarse position embedding stays at zero
        trunk._get_pos_embed = lambda _: whole[:, top : top + side, left : left + side]
        try:
            maps: list[Tensor] = model.forward_image(self.normalise(images))["backbone_fpn"]
        finally:
            del trunk._get_pos_embed
        return [*maps[:2], maps[2] + model.no_mem_embed.reshape(1, -1, 1, 1)]

    def forward(
        self, images: Tensor, offset: tuple[int, int], index: Tensor, coords: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Masks and what helps to learn them; see prompts.Batch.

        Returns:
            All four masks' logits (N, 4, s/4, s/4), predicted IoU (N, 4), and logits of the looks, that is colours,
            backgrounds and patterns: of the three maps (B, h, w, L) and of the mask tokens (N, 4, L).
        """
        encoder = self.model.sam_prompt_encoder
        levels = self.encode(images, offset)
        looks = [reader(level.permute(0, 2, 3, 1)) for reader, level in zip(self.readers, levels, strict=False)]
        maps = [level[index] for level in levels]
        top, left, side = offset[0] // 16, offset[1] // 16, images.shape[1] // 16
        positions = encoder.get_dense_pe()[:, :, top : top + side, left : left + side]
        self.seen.clear()
        sparse, _ = encoder(points=(coords, labels), boxes=None, masks=None)
        dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        masks, iou, mask_tokens, _ = self.model.sam_mask_decoder.predict_masks(
            maps[2], positions, sparse, dense, repeat_image=False, high_res_features=maps[:2]
        )
        return masks.float(), iou.float(), [*looks, self.readers[3](mask_tokens)]


class Sam2Stage:
    """SAM2's training."""

    name = "sam2"
    hidden: tuple[str, ...] = ("trunk.blocks", "sam_mask_decoder.transformer")

    def __init__(self, seed: int, steps: int, *, part: int = 256, scenes: int | None = None) -> None:
        self.seed, self.part, self.whole_from = seed, part, int(WHOLE_FROM * steps)
        self.module = Sam2(seed)
        size = self.module.size
        self.stream = PromptStream(seed, size) if scenes is None else PromptStream(seed, size, scenes=scenes)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Mask losses of the single mask and of the best of three, and the IoU head's error."""
        size = self.module.size
        if step < self.whole_from:
            y, x = generator(self.seed, 6, step).integers((size - self.part) // 128 + 1, size=2) * 128
            offset, side, images, prompts = (int(y), int(x)), self.part, 2, 4
        else:
            offset, side, images, prompts = (0, 0), size, 1, 5
        batch = self.stream(step, images=images, prompts=prompts, offset=offset, side=side)
        with torch.autocast("cpu", torch.bfloat16):
            masks, iou, looks = self.module(
                torch.from_numpy(batch.images),
                offset,
                torch.from_numpy(batch.image_index),
                torch.from_numpy(batch.coords),
                torch.from_numpy(batch.labels),
            )
        target = torch.from_numpy(batch.masks)
        losses = mask_losses(masks, target)  # (N, 4)
        best = losses[:, 1:].min(1).values
        true_iou = ious(masks.detach(), target)
        error = (iou - true_iou).abs().mean()
        loss = (losses[:, 0] + best + 0.1 * losses[:, 1:].mean(1)).mean() + error
        maps, words = torch.from_numpy(batch.class_maps).long(), torch.from_numpy(batch.words)
        named = [
            look_loss(look, maps[:, step // 2 :: step, step // 2 :: step])
            for step, look in zip((1, 2, 4), looks, strict=False)
        ]
        tokens = look_loss(looks[3], words[:, None].expand(-1, 4))
        astray = self._astray(torch.from_numpy(batch.coords), offset, side)
        loss = loss + LOOKS * (sum(named) / 3 + tokens) + ASTRAY * astray
        chosen = true_iou[:, 1:].gather(1, iou[:, 1:].argmax(1, keepdim=True))
        figures = {"single": true_iou[:, 0].mean(), "best": true_iou[:, 1:].amax(1).mean(), "chosen": chosen.mean()}
        return loss, {
            **{name: float(value) for name, value in figures.items()},
            "iou_error": error.item(),
            "named": (named[0] + named[2]).item() / 2,
            "looks": tokens.item(),
            "astray": astray.item(),
        }

    def _astray(self, coords: Tensor, offset: tuple[int, int], side: int) -> Tensor:
        """How far half the heads of the points' tokens look elsewhere than at their points: cross-entropy."""
        grid, count = side // 16, coords.shape[1]
        corner = torch.tensor([offset[1], offset[0]])
        cell = ((coords - corner) / 16 - 0.5)[:, :, None]  # (N, P, 1, 2), in cells of the image embedding
        cells = torch.stack(torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="xy"), dim=-1)
        target = (-(cell.clamp(0, grid - 1) - cells.flatten(0, 1)).square().sum(-1)).softmax(-1)  # (N, P, cells)
        losses = []
        for attention, q, k in self.module.seen:
            points = q[:, -1 - count : -1]  # the last token pads
            queries = attention._separate_heads(attention.q_proj(points), attention.num_heads).float()
            keys = attention._separate_heads(attention.k_proj(k), attention.num_heads).float()
            half = attention.num_heads // 2
            logits = queries[:, :half] @ keys[:, :half].transpose(2, 3) * queries.shape[-1] ** -0.5
            losses.append(-(target[:, None] * logits.log_softmax(-1)).sum(-1).mean())
        return torch.stack(losses).mean()

    def weights(self) -> dict[str, Tensor]:
        """By sam2's names."""
        return dict(self.module.model.state_dict())


def look_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of colour (or background) and of pattern (or none) of words: objects count four times."""
    is_object = words < OBJECT_WORDS
    many = len(PATTERNS)
    colour = torch.where(is_object, words // many, words - OBJECT_WORDS + len(COLOURS))
    pattern = torch.where(is_object, words % many, many)
    parts = logits.float().flatten(0, -2).split([logits.shape[-1] - many - 1, many + 1], dim=-1)
    weight = (1 + 3 * is_object).flatten()
    both = [F.cross_entropy(p, t.flatten(), reduction="none") for p, t in zip(parts, (colour, pattern), strict=True)]
    return (torch.stack(both).sum(0) * weight).sum() / weight.sum()


def mask_losses(masks: Tensor, target: Tensor) -> Tensor:
    """Dice, and cross-entropy over the whole and, again, near the object: (N, M) of logits (N, M, h, w)."""
    wanted = target[:, None].expand_as(masks)
    entropy = F.binary_cross_entropy_with_logits(masks, wanted, reduction="none")
    near = F.max_pool2d(target[:, None], 9, stride=1, padding=4).ceil()  # (N, 1, h, w)
    local = (entropy * near).sum((2, 3)) / near.sum((2, 3)).clamp_min(1.0)
    found = masks.sigmoid()
    dice = 1 - (2 * (found * wanted).sum((2, 3)) + 1) / ((found + wanted).sum((2, 3)) + 1)
    return dice + 2 * entropy.mean((2, 3)) + local


def ious(masks: Tensor, target: Tensor) -> Tensor:
    """IoU of logits (N, M, h, w) at 0 with coverage (N, h, w) at one half: (N, M)."""
    found, right = masks > 0, target[:, None] > 0.5
    both, either = (found & right).sum((2, 3)), (found | right).sum((2, 3))
    return both / either.clamp_min(1)
