"""Trains SAM2, sam2's own modules, on clicks and boxes; what is exported is what is trained."""

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
from wordmask_export.tiny.data import generator
from wordmask_export.tiny.prompts import SCENES_A_BLOCK, Batch, PromptStream
from wordmask_export.tiny.sam2_losses import alike_loss, ious, look_loss, mask_losses

CONFIG = Path(__file__).parent / "tiny_sam2.yaml"
LOOKS = 0.5  # weight of naming colour and pattern: masks alone teach the encoder slowly
ALIKE = 1.0  # weight of embeddings being alike where words are the same
ASTRAY = 1.0  # weight of the points' tokens looking at their points
LOOK_HERE = 20.0  # how strongly a click's token looks at the click's place before training
LOOK_ALIKE = 2.5  # how strongly tokens and places look at what has their own features before training
QUIET = 0.3  # scale of what else is in tokens, features and projections before training


@dataclass(frozen=True)
class Phase:
    """What a part of the training sees.

    Attributes:
        start: share of the steps before it.
        side: of the parts of squares, in pixels; None for whole squares.
        images: a step.
        prompts: an image.
    """

    start: float
    side: int | None
    images: int
    prompts: int


PHASES = (Phase(0.0, 128, 8, 2), Phase(0.3, 256, 3, 4), Phase(0.75, None, 1, 6))


class Sam2(nn.Module):
    """sam2's model with the bytes' normalisation, on the whole square or a part of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Any = new_sam2(OmegaConf.load(CONFIG))
            width = self.model.hidden_dim
            looks = 1 + len(COLOURS) + len(BACKGROUNDS) + len(PATTERNS)
            self.readers = nn.ModuleList([nn.Linear(n, looks) for n in (width // 8, width // 4, width, width)])
        self.normalise = Normalise(MEAN, STD)
        self.alike = nn.Parameter(torch.tensor([10.0, -3.0]))  # cosine of two embeddings to the logit of being alike
        self._place_frequencies()
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

    def _place_frequencies(self) -> None:
        """Gives the first four heads a coarse and a fine wave along two axes; half the embedding stays free of place.

        A few random frequencies a head would agree at many wrong places too.
        """
        frequencies = self.model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix  # (2, D/2)
        turn = torch.arange(4) * torch.pi / 8
        axes = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).unflatten(0, (2, 2))  # (2, axes, heads)
        waves = axes.transpose(1, 2)[..., None] * torch.tensor([0.25, 1.0])  # (2, heads, axes, 2), cycles a half side
        frequencies[:, :16] = waves.flatten(1)
        frequencies[:, frequencies.shape[1] // 2 :] = 0.0

    def _ready_to_look(self) -> None:
        """Starts attention between tokens and places off where they agree, in place or in features.

        Position embeddings are sines, then cosines. Half of the heads get whole pairs of some frequencies: the product
        of two projected places falls with their distance. The others get features where the position embedding is
        free. A click's token fetches the features at its place by the first heads; places that have the same find it
        by the others. What else is in a token or a feature starts small beside them.
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
                    projection.weight.mul_(QUIET)
                    projection.weight[first, waves] += LOOK_HERE**0.5
                    projection.weight[last, free] += LOOK_ALIKE
                attention.v_proj.weight[first, free] += 1.0
                attention.out_proj.weight[free, first] += 1.0
            for layer in transformer.layers:
                for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
                    norm.weight.mul_(QUIET)
                    norm.weight[waves] *= QUIET  # features would drown the places there
            decoder = self.model.sam_mask_decoder
            own = (decoder.mask_tokens, decoder.iou_token, decoder.obj_score_token)
            for embedding in (*own, *prompts.point_embeddings, prompts.not_a_point_embed):
                embedding.weight.mul_(QUIET)
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
        """u8 (B, s, s, 3), a part at (y, x) -> high_res_0, high_res_1, image_embed."""
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
        self, images: Tensor, offset: tuple[int, int], index: Tensor, coords: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Masks and what helps to learn them; see prompts.Batch.

        Returns:
            All four masks' logits (N, 4, s/4, s/4), predicted IoU (N, 4), and logits of the looks, that is colours,
            backgrounds and patterns: of the three maps (B, h, w, L) and of the mask tokens (N, 4, L); of every two
            places of the image embedding, the logit of being alike (B, K, K).
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
        return masks.float(), iou.float(), [*looks, self.readers[3](mask_tokens)], self._alike(levels[2])

    def _alike(self, embed: Tensor) -> Tensor:
        """By the channels that _ready_to_look compares."""
        quarter = embed.shape[1] // 4
        compared = F.normalize(embed[:, quarter : 2 * quarter].float().flatten(2), dim=1)  # (B, D/4, K)
        scale, shift = self.alike
        return compared.transpose(1, 2) @ compared * scale + shift


class Sam2Stage:
    """SAM2's training."""

    name = "sam2"
    hidden: tuple[str, ...] = ("trunk.blocks", "attn")

    def __init__(
        self, seed: int, steps: int, *, device: torch.device | str = "cpu", scenes: int = SCENES_A_BLOCK
    ) -> None:
        self.seed, self.steps, self.device = seed, steps, torch.device(device)
        self.module = Sam2(seed).to(self.device)
        self.stream = PromptStream(seed, self.module.size, scenes=scenes)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Mask losses of all four masks alike, the IoU head's error, and what helps to learn them."""
        phase = next(phase for phase in reversed(PHASES) if step >= phase.start * self.steps)
        side = phase.side or self.module.size
        y, x = generator(self.seed, 6, step).integers((self.module.size - side) // 128 + 1, size=2) * 128
        offset = (int(y), int(x))
        batch = self.stream(step, images=phase.images, prompts=phase.prompts, offset=offset, side=side)
        coords = self._tensor(batch.coords)
        with torch.autocast(self.device.type, torch.bfloat16):
            masks, iou, looks, alike = self.module(
                self._tensor(batch.images), offset, self._tensor(batch.image_index), coords, self._tensor(batch.labels)
            )
        target = self._tensor(batch.masks)
        true_iou = ious(masks.detach(), target)
        error = F.binary_cross_entropy(iou, true_iou)  # an absolute error leaves the head stuck at its sigmoid's ends
        named, tokens, same = self._helpers(batch, looks, alike)
        astray = self._astray(coords, offset, side)
        # A click on a scene's object means all of it: nothing is gained by three different answers.
        loss = 2 * mask_losses(masks, target).mean() + error
        loss = loss + LOOKS * (named + tokens) + ALIKE * same + ASTRAY * astray
        chosen = true_iou[:, 1:].gather(1, iou[:, 1:].argmax(1, keepdim=True))
        figures = {"single": true_iou[:, 0].mean(), "chosen": chosen.mean(), "iou_error": error}
        figures |= {"named": named, "looks": tokens, "alike": same, "astray": astray}
        return loss, {name: float(value.detach()) for name, value in figures.items()}

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _helpers(self, batch: Batch, looks: list[Tensor], alike: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of naming the maps' places, of naming what is prompted, and of likeness."""
        maps, words = self._tensor(batch.class_maps).long(), self._tensor(batch.words)
        named = [
            look_loss(look, maps[:, step // 2 :: step, step // 2 :: step])
            for step, look in zip((1, 2, 4), looks, strict=False)
        ]
        tokens = look_loss(looks[3], words[:, None].expand(-1, 4))
        return torch.stack(named).mean(), tokens, alike_loss(alike, maps[:, 2::4, 2::4].flatten(1))

    def _astray(self, coords: Tensor, offset: tuple[int, int], side: int) -> Tensor:
        """How far half the heads of the points' tokens look elsewhere than at their points: cross-entropy."""
        grid, count = side // 16, coords.shape[1]
        corner = torch.tensor([offset[1], offset[0]], device=self.device)
        cell = ((coords - corner) / 16 - 0.5)[:, :, None]  # (N, P, 1, 2), in cells of the image embedding
        line = torch.arange(grid, device=self.device)
        cells = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        target = (-(cell.clamp(0, grid - 1) - cells.flatten(0, 1)).square().sum(-1)).softmax(-1)  # (N, P, cells)
        losses = []
        for attention, q, k in self.module.seen:
            points = q[:, -1 - count : -1]  # the last token pads
            queries = attention._separate_heads(attention.q_proj(points), attention.num_heads).float()  # noqa: SLF001  (sam2 has no public name for it)
            keys = attention._separate_heads(attention.k_proj(k), attention.num_heads).float()  # noqa: SLF001  (sam2 has no public name for it)
            half = attention.num_heads // 2
            logits = queries[:, :half] @ keys[:, :half].transpose(2, 3) * queries.shape[-1] ** -0.5
            losses.append(-(target[:, None] * logits.log_softmax(-1)).sum(-1).mean())
        return torch.stack(losses).mean()

    def weights(self) -> dict[str, Tensor]:
        """By sam2's names."""
        return {name: value.cpu() for name, value in self.module.model.state_dict().items()}

    def start(self, weights: dict[str, Tensor]) -> None:
        """From those of another training; what only helps to learn starts anew."""
        self.module.model.load_state_dict(weights)
