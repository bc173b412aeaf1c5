"""Trains SAM2 on clicks, boxes and rough masks, with sam2's own modules, which are also exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor, nn

from wordmask_bench.scenes import BACKGROUNDS, COLOURS, PATTERNS
from wordmask_export.graphs.sam2 import MEAN, STD
from wordmask_export.models.normalise import Normalise
from wordmask_export.models.pipeline import new_sam2
from wordmask_export.tiny.ahead import Stream
from wordmask_export.tiny.prompts import COVERED, SCENES_A_BLOCK, Batch, PromptStream
from wordmask_export.tiny.sam2_losses import appearance_loss, ious, mask_losses, similarity_loss

CONFIG = Path(__file__).parent / "tiny_sam2.yaml"
APPEARANCE_WEIGHT = 0.5  # of classifying colour and pattern: with masks only, the encoder learns slowly
SIMILARITY_WEIGHT = 1.0  # of similar embeddings at positions with the same word
ATTENTION_WEIGHT = 1.0  # of the point tokens' attention to their points
POSITION_GAIN = 20.0  # of a point token's initial attention to the point
FEATURE_GAIN = 2.5  # of the initial attention between tokens and positions with equal features
INITIAL_SCALE = 0.3  # of all other initial weights in tokens, norms and projections


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model gives for a batch.

    Attributes:
        masks: f32 (N, 4, s / 4, s / 4), logits.
        iou: f32 (N, 4), predicted.
        levels: high_res_0, high_res_1 and image_embed, each (B, C, h, w).
        mask_tokens: (N, 4, C).
    """

    masks: Tensor
    iou: Tensor
    levels: list[Tensor]
    mask_tokens: Tensor


class Sam2(nn.Module):
    """sam2's model with normalisation of bytes, for the whole square or a part of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Any = new_sam2(OmegaConf.load(CONFIG))
            width = self.model.hidden_dim
            looks = 1 + len(COLOURS) + len(BACKGROUNDS) + len(PATTERNS)
            self.readers = nn.ModuleList([nn.Linear(n, looks) for n in (width // 8, width // 4, width, width)])
        self.normalise = Normalise(MEAN, STD)
        self.likeness = nn.Parameter(
            torch.tensor([10.0, -3.0])
        )  # scale and shift from the cosine of two embeddings to a logit
        self._set_position_frequencies()
        self._initialise_attention()
        self.seen: list[
            tuple[Any, Tensor, Tensor]
        ] = []  # each attention from tokens to positions, its queries and keys
        transformer = self.model.sam_mask_decoder.transformer
        watched = [layer.cross_attn_token_to_image for layer in transformer.layers]
        for attention in (*watched, transformer.final_attn_token_to_image):
            attention.register_forward_pre_hook(self._watch, with_kwargs=True)
        self.model.image_encoder.trunk.pos_embed.requires_grad_(False)
        for module in (self.model.memory_attention, self.model.memory_encoder):  # only used for video
            module.requires_grad_(False)

    def _watch(self, attention: Any, _: tuple[Any, ...], inputs: dict[str, Tensor]) -> None:
        self.seen.append((attention, inputs["q"], inputs["k"]))

    def _set_position_frequencies(self) -> None:
        """Gives the first four heads a coarse and a fine wave along two axes; half of the embedding stays zero.

        With a few random frequencies per head, many distant positions would have similar embeddings.
        """
        frequencies = self.model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix  # (2, D/2)
        turn = torch.arange(4) * torch.pi / 8
        axes = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).unflatten(0, (2, 2))  # (2, axes, heads)
        waves = axes.transpose(1, 2)[..., None] * torch.tensor([0.25, 1.0])  # (2, heads, axes, 2), cycles a half side
        frequencies[:, :16] = waves.flatten(1)
        frequencies[:, frequencies.shape[1] // 2 :] = 0.0

    def _initialise_attention(self) -> None:
        """Initialises attention between tokens and positions, so that it is high where position or features are equal.

        Position embeddings are sines, then cosines. Half of the heads get whole pairs of some frequencies, so that the
        product of two projected positions falls with their distance. The other heads get the feature channels where
        the position embedding is zero. So a point's token first receives the features at its point, and positions with
        the same features then attend to it. All other weights start small.
        """
        transformer, prompts = self.model.sam_mask_decoder.transformer, self.model.sam_prompt_encoder
        names = ("cross_attn_token_to_image", "cross_attn_image_to_token")
        both_ways = [getattr(layer, name) for layer in transformer.layers for name in names]
        inner, width = transformer.final_attn_token_to_image.q_proj.weight.shape
        first, last = torch.arange(inner // 2), torch.arange(inner // 2, inner)  # of the projections, by heads
        waves = torch.arange(inner // 4).repeat_interleave(2) + first % 2 * (width // 2)
        free = torch.arange(width // 4, width // 2)
        with torch.no_grad():
            for attention in (*both_ways, transformer.final_attn_token_to_image):
                for projection in (attention.q_proj, attention.k_proj):
                    projection.weight.mul_(INITIAL_SCALE)
                    projection.weight[first, waves] += POSITION_GAIN**0.5
                    projection.weight[last, free] += FEATURE_GAIN
                attention.v_proj.weight[first, free] += 1.0
                attention.out_proj.weight[free, first] += 1.0
            for layer in transformer.layers:
                for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
                    norm.weight.mul_(INITIAL_SCALE)
                    norm.weight[waves] *= INITIAL_SCALE  # otherwise features would dominate the positions
            decoder = self.model.sam_mask_decoder
            own = (decoder.mask_tokens, decoder.iou_token, decoder.obj_score_token)
            for embedding in (*own, *prompts.point_embeddings, prompts.not_a_point_embed):
                embedding.weight.mul_(INITIAL_SCALE)
            for convolution in self.model.image_encoder.neck.convs[:2]:
                convolution.conv.weight.mul_(0.5)
                convolution.conv.weight[waves] *= 0.1
            for reader in self.readers:
                cast(nn.Linear, reader).weight.mul_(4.0)

    @property
    def size(self) -> int:
        """Side of the whole square."""
        return int(self.model.image_size)

    def encode(self, images: Tensor, offset: tuple[int, int]) -> list[Tensor]:
        """Encodes images u8 (B, s, s, 3), a part of the square at (y, x): high_res_0, high_res_1, image_embed."""
        model, trunk, side = self.model, self.model.image_encoder.trunk, images.shape[1] // 4
        grid = self.size // 4
        top, left = offset[0] // 4, offset[1] // 4
        whole = trunk.pos_embed_window.tile(1, 1, grid // trunk.window_spec[0], grid // trunk.window_spec[0])
        whole = whole.permute(0, 2, 3, 1)  # (1, S/4, S/4, C); the coarse position embedding stays at zero
        trunk._get_pos_embed = lambda _: whole[:, top : top + side, left : left + side]  # noqa: SLF001  (sam2 has no public name for it)
        try:
            maps: list[Tensor] = model.forward_image(self.normalise(images))["backbone_fpn"]
        finally:
            del trunk._get_pos_embed  # noqa: SLF001  (sam2 has no public name for it)
        return [*maps[:2], maps[2] + model.no_mem_embed.reshape(1, -1, 1, 1)]

    def forward(
        self,
        images: Tensor,
        offset: tuple[int, int],
        index: Tensor,
        coords: Tensor,
        labels: Tensor,
        rough: Tensor | None = None,
    ) -> Answer:
        """Masks, and what the auxiliary losses read; arguments as in prompts.Batch."""
        encoder = self.model.sam_prompt_encoder
        levels = self.encode(images, offset)
        maps = [level[index] for level in levels]
        top, left, side = offset[0] // 16, offset[1] // 16, images.shape[1] // 16
        positions = encoder.get_dense_pe()[:, :, top : top + side, left : left + side]
        self.seen.clear()
        sparse, _ = encoder(points=(coords, labels), boxes=None, masks=None)
        no_mask = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = no_mask if rough is None else encoder.mask_downscaling(rough)
        masks, iou, mask_tokens, _ = self.model.sam_mask_decoder.predict_masks(
            maps[2], positions, sparse, dense, repeat_image=False, high_res_features=maps[:2]
        )
        return Answer(masks.float(), iou.float(), levels, mask_tokens)

    def looks(self, answer: Answer) -> list[Tensor]:
        """Logits of colours, backgrounds and patterns: of the three maps (B, h, w, L), of the mask tokens (N, 4, L)."""
        maps = [reader(level.permute(0, 2, 3, 1)) for reader, level in zip(self.readers, answer.levels, strict=False)]
        return [*maps, self.readers[3](answer.mask_tokens)]

    def alike(self, embed: Tensor) -> Tensor:
        """The logit (B, K, K) that two positions have one word, from channels that _initialise_attention uses."""
        quarter = embed.shape[1] // 4
        compared = F.normalize(embed[:, quarter : 2 * quarter].float().flatten(2), dim=1)  # (B, D/4, K)
        scale, shift = self.likeness
        return compared.transpose(1, 2) @ compared * scale + shift


class Sam2Stage:
    """SAM2's training."""

    name = "sam2"
    hidden: tuple[str, ...] = ("trunk.blocks", "attn")

    def __init__(
        self, seed: int, steps: int, *, device: torch.device | str = "cpu", scenes: int = SCENES_A_BLOCK
    ) -> None:
        self.device = torch.device(device)
        self.module = Sam2(seed).to(self.device)
        self.stream: Stream = PromptStream(seed, self.module.size, steps, scenes=scenes)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of two of the masks, of the IoU head, and the auxiliary losses.

        A click on an object always means the whole object, so all masks have the same target. The three masks for a
        single click take turns.
        """
        batch: Batch = self.stream(step)
        with torch.autocast(self.device.type, torch.bfloat16):
            answer: Answer = self.module(
                self._tensor(batch.images),
                batch.offset,
                self._tensor(batch.image_index),
                self._tensor(batch.coords),
                self._tensor(batch.labels),
                None if batch.rough is None else self._tensor(batch.rough),
            )
        target = self._tensor(batch.masks).float() / COVERED
        true_iou = ious(answer.masks.detach(), target)
        error = F.binary_cross_entropy(answer.iou, true_iou)  # with an absolute error the sigmoid saturates
        loss = 2 * mask_losses(answer.masks[:, [0, 1 + step // 4 % 3]], target).mean() + error
        chosen = true_iou[:, 1:].gather(1, answer.iou[:, 1:].argmax(1, keepdim=True))
        figures = {"single": true_iou[:, 0].mean(), "chosen": chosen.mean(), "iou_error": error}
        if batch.helped:
            help_loss, helping = self._auxiliary_losses(batch, answer)
            loss, figures = loss + help_loss, figures | helping
        return loss, {name: value.detach() for name, value in figures.items()}

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _auxiliary_losses(self, batch: Batch, answer: Answer) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of appearance, at the maps' positions and for the prompted objects, of similarity and attention."""
        maps, words = self._tensor(batch.class_maps).long(), self._tensor(batch.words)
        with torch.autocast(self.device.type, torch.bfloat16):
            *looks, token_looks = self.module.looks(answer)
            alike = self.module.alike(answer.levels[2])
        named = torch.stack(
            [
                appearance_loss(look, maps[:, step // 2 :: step, step // 2 :: step])
                for step, look in zip((1, 2, 4), looks, strict=True)
            ]
        ).mean()
        tokens = appearance_loss(token_looks, words[:, None].expand(-1, 4))
        same = similarity_loss(alike, maps[:, 2::4, 2::4].flatten(1))
        astray = self._attention_loss(self._tensor(batch.coords), batch.offset, batch.images.shape[1])
        loss = APPEARANCE_WEIGHT * (named + tokens) + SIMILARITY_WEIGHT * same + ATTENTION_WEIGHT * astray
        return loss, {"named": named, "looks": tokens, "alike": same, "astray": astray}

    def _attention_loss(self, coords: Tensor, offset: tuple[int, int], side: int) -> Tensor:
        """Cross-entropy between the points and the attention of the point tokens, in half of the heads."""
        grid, count = side // 16, coords.shape[1]
        corner = torch.tensor([offset[1], offset[0]], device=self.device)
        cell = ((coords - corner) / 16 - 0.5)[:, :, None]  # (N, P, 1, 2), in cells of the image embedding
        line = torch.arange(grid, device=self.device)
        cells = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        target = (-(cell.clamp(0, grid - 1) - cells.flatten(0, 1)).square().sum(-1)).softmax(-1)  # (N, P, cells)
        losses = []
        for attention, q, k in self.module.seen:
            points = q[:, -1 - count : -1]  # the last token is padding
            queries = attention._separate_heads(attention.q_proj(points), attention.num_heads).float()  # noqa: SLF001  (sam2 has no public name for it)
            keys = attention._separate_heads(attention.k_proj(k), attention.num_heads).float()  # noqa: SLF001  (sam2 has no public name for it)
            half = attention.num_heads // 2
            logits = queries[:, :half] @ keys[:, :half].transpose(2, 3) * queries.shape[-1] ** -0.5
            losses.append(-(target[:, None] * logits.log_softmax(-1)).sum(-1).mean())
        return torch.stack(losses).mean()

    def weights(self) -> dict[str, Tensor]:
        """State dict with sam2's names."""
        return {name: value.cpu() for name, value in self.module.model.state_dict().items()}

    def start(self, weights: dict[str, Tensor]) -> None:
        """Starts from the weights of another training; the layers of the auxiliary losses start untrained."""
        self.module.model.load_state_dict(weights)
