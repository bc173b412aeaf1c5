"""SAM2's image encoder and prompted mask decoder as they are exported, built around sam2's own modules.

SAM 2: Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024). Reference: sam2.SAM2ImagePredictor.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordmask_export.models.normalise import Normalise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # sam2.utils.transforms.SAM2Transforms


class Encoder(nn.Module):
    """The `sam2_encoder` graph: a photo, resized to SAM2's square, to the maps the decoder needs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.normalise = Normalise(MEAN, STD)
        self.model = model
        side = model.image_size // model.image_encoder.trunk.patch_embed.proj.stride[0]
        with torch.no_grad():  # bicubic interpolation of the position embedding, once
            positions = model.image_encoder.trunk._get_pos_embed((side, side))  # noqa: SLF001  (sam2 has no public name for it)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encodes photos.

        Args:
            image: f32 (B, S, S, 3), 0 to 255.

        Returns:
            image_embed (B, D, S/16, S/16), high_res_0 (B, D/8, S/4, S/4), high_res_1 (B, D/4, S/8, S/8); f32.
        """
        trunk, model = self.model.image_encoder.trunk, self.model
        trunk._get_pos_embed = lambda _: self.positions  # noqa: SLF001  (sam2 has no public name for it)
        try:
            maps = model.forward_image(self.normalise(image))["backbone_fpn"][-model.num_feature_levels :]
        finally:
            del trunk._get_pos_embed  # noqa: SLF001  (sam2 has no public name for it)
        high_res_0, high_res_1, embed = maps
        if model.directly_add_no_mem_embed:
            embed = embed + model.no_mem_embed.reshape(1, -1, 1, 1)
        return embed, high_res_0, high_res_1


def heads(x: Tensor, count: int) -> Tensor:
    """(B, L, C) -> (B, heads, L, C / heads)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def attend(module: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """sam2's Attention with batch dimensions of 1 broadcast."""
    count = module.num_heads
    q, k, v = heads(module.q_proj(q), count), heads(module.k_proj(k), count), heads(module.v_proj(v), count)
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
    out: Tensor = module.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return out


def patch_weight(layer: Any) -> Tensor:
    """Weight (C, O, 2, 2) of a transposed convolution of stride 2 as a matrix (C, 4 * O), pixels before channels."""
    weight: Tensor = layer.weight.permute(0, 2, 3, 1).flatten(1)
    return weight


def gather(image: Tensor, levels: int, bias: Tensor) -> Tensor:
    """Pixels by token, what all prompts share: (1, C, 2**levels * s, ...) -> (1, s * s, 4, ..., C), plus the bias."""
    x = image
    if levels == 2:
        x = x.unflatten(3, (-1, 2, 2)).unflatten(2, (-1, 2, 2))  # (1, C, s, 2, 2, s, 2, 2)
        x = x.permute(0, 2, 5, 3, 6, 4, 7, 1).flatten(5, 6).flatten(3, 4)  # (1, s, s, 4, 4, C)
    else:
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4)  # (1, s, s, 4, C)
    return x.flatten(1, 2) + bias


def _rows(maps: Tensor) -> Tensor:
    """Positions by channels: (N, D, h, w) -> (N, h * w, D)."""
    return maps.flatten(2).transpose(1, 2)


def spread(mask: Tensor, side: int) -> Tensor:
    """Pixels by token (N, 4, s * s * 16) -> (N, 4, 4 * s, 4 * s); `side` is s."""
    x = mask.unflatten(2, (side, side, 2, 2, 2, 2))  # rows and columns of tokens, then of both levels
    return x.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5, 7).flatten(2, 4)


def read(module: Any, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """sam2's Attention from a few tokens (N, T, D) to the pixels (N, K, D), which are not projected.

    A score is q . (W k) = (W^T q) . k, and a bias of the keys shifts all scores of a query alike; the mean of projected
    values is the projection of their mean. With 8 heads of 8 tokens that is half of the products.
    """
    count = module.num_heads
    q = heads(module.q_proj(tokens), count)  # (N, heads, T, d)
    folded = q @ module.k_proj.weight.unflatten(0, (count, -1)) * q.shape[-1] ** -0.5  # (N, heads, T, D)
    weights = (folded.flatten(1, 2) @ keys.transpose(1, 2)).softmax(-1)  # (N, heads * T, K)
    mixed = (weights @ values).unflatten(1, (count, -1))  # (N, heads, T, D)
    v = mixed @ module.v_proj.weight.unflatten(0, (count, -1)).transpose(1, 2)  # (N, heads, T, d)
    out: Tensor = module.out_proj(v.transpose(1, 2).flatten(2) + module.v_proj.bias)
    return out


def write(module: Any, pixels: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """sam2's Attention from the pixels (N or 1, K, D) to a few tokens (N, T, D), folded likewise."""
    count = module.num_heads
    k, v = heads(module.k_proj(keys), count), heads(module.v_proj(values), count)  # (N, heads, T, d)
    k = k * k.shape[-1] ** -0.5
    folded = (k @ module.q_proj.weight.unflatten(0, (count, -1))).flatten(1, 2)  # (N, heads * T, D)
    bias = (k * module.q_proj.bias.unflatten(0, (count, 1, -1))).sum(-1).flatten(1)  # (N, heads * T)
    scores = pixels @ folded.transpose(1, 2) + bias[:, None]
    weights = scores.unflatten(2, (count, -1)).softmax(-1).flatten(2)  # (N, K, heads * T)
    projected = v @ module.out_proj.weight.T.unflatten(0, (count, -1))  # (N, heads, T, D)
    out: Tensor = weights @ projected.flatten(1, 2) + module.out_proj.bias
    return out


class Decoder(nn.Module):
    """The `sam2_decoder` graph: prompts on one photo to four masks each; with `mask_prompts`, `sam2_mask_decoder`.

    The first is meant for several points or a box, the others for an ambiguous single click. The runtime chooses one
    (wordmask.objects.mask_choice), by sam2's rules or by its own.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.prompt_encoder = model.sam_prompt_encoder
        self.decoder = model.sam_mask_decoder
        decoder = self.decoder
        own = [decoder.obj_score_token.weight] if decoder.pred_obj_scores else []
        tokens = torch.cat([*own, decoder.iou_token.weight, decoder.mask_tokens.weight]).detach()
        self.register_buffer("own_tokens", tokens, persistent=False)
        self.iou_index = len(own)
        with torch.no_grad():
            pe = self.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)
        self.register_buffer("image_pe", pe, persistent=False)  # (1, S/16 * S/16, D)

    def embed_points(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Prompt tokens (N, P + 1, D): the points and the one padding point that the reference appends."""
        encoder = self.prompt_encoder
        size = torch.tensor(encoder.input_image_size[::-1], dtype=torch.float32)
        angle = (2 * ((coords + 0.5) / size) - 1) @ encoder.pe_layer.positional_encoding_gaussian_matrix
        angle = 2 * torch.pi * angle
        position = torch.cat([angle.sin(), angle.cos()], dim=-1)  # (N, P, D)
        kinds = torch.cat([embedding.weight for embedding in encoder.point_embeddings])  # (4, D)
        points = position + F.embedding(labels, kinds)
        padding = encoder.not_a_point_embed.weight.expand(points.shape[0], 1, -1)
        return torch.cat([points, padding], dim=1)

    def transform(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The two-way transformer: image (1, K, D), tokens (N, T, D) -> tokens and image a prompt (N, K, D)."""
        transformer, pe = self.decoder.transformer, cast(Tensor, self.image_pe)
        queries, keys = tokens, image
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                queries = layer.norm1(attend(layer.self_attn, queries, queries, queries))
            else:
                q = queries + tokens
                queries = layer.norm1(queries + attend(layer.self_attn, q, q, queries))
            k = keys + pe
            look = attend if keys is image else read  # what all prompts share is projected once
            queries = layer.norm2(queries + look(layer.cross_attn_token_to_image, queries + tokens, k, keys))
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(keys + write(layer.cross_attn_image_to_token, k, queries + tokens, queries))
        last = transformer.final_attn_token_to_image
        queries = transformer.norm_final_attn(queries + read(last, queries + tokens, keys + pe, keys))
        return queries, keys

    def upscale(self, keys: Tensor, high_res_0: Tensor, high_res_1: Tensor) -> Tensor:
        """Image tokens (N, K, D) -> (N, K * 16, D/8): of each token its 4x4 pixels, see `spread`.

        The transposed convolutions' patches do not overlap, so each is a matrix product; pixels stay where their token
        is until there are masks to put in order.
        """
        first, norm, activation, second, activation2 = self.decoder.output_upscaling
        x = keys @ patch_weight(first)  # (N, K, 4 * D/4)
        x = x.unflatten(2, (4, -1)) + gather(high_res_1, 1, first.bias)  # (N, K, 4, D/4)
        x = activation(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = (x @ patch_weight(second)).unflatten(3, (4, -1)) + gather(high_res_0, 2, second.bias)  # (N, K, 4, 4, D/8)
        out: Tensor = activation2(x).flatten(1, 3)
        return out

    def forward(
        self,
        image_embed: Tensor,
        high_res_0: Tensor,
        high_res_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_prompts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decodes prompts.

        Args:
            image_embed, high_res_0, high_res_1: of one photo (batch 1), from Encoder.
            point_coords: f32 (N, P, 2), x and y in pixels of SAM2's square.
            point_labels: i32 (N, P), 0 outside, 1 inside, 2 and 3 a box's corners.
            mask_prompts: f32 (N, 1, S/4, S/4), logits of the mask of each prompt (mask_input of
                SAM2ImagePredictor.predict); None for prompts without.

        Returns:
            masks f32 (N, 4, S/4, S/4), logits; iou f32 (N, 4), predicted.
        """
        encoder = self.prompt_encoder
        if mask_prompts is None:
            image = _rows(image_embed + encoder.no_mask_embed.weight.reshape(1, -1, 1, 1))
        else:  # added as rows: OpenVINO would fuse an addition to a convolution's output, and fail where it broadcasts
            image = _rows(image_embed) + _rows(encoder.mask_downscaling(mask_prompts))
        decoder = self.decoder
        points = self.embed_points(point_coords, point_labels)
        own = self.own_tokens.expand(points.shape[0], -1, -1)  # type: ignore[operator]
        queries, keys = self.transform(image, torch.cat([own, points], dim=1))
        upscaled = self.upscale(keys, high_res_0, high_res_1)
        iou = decoder.iou_prediction_head(queries[:, self.iou_index])  # (N, 4)
        first = self.iou_index + 1
        hyper = torch.stack([m(queries[:, first + i]) for i, m in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
        masks = hyper @ upscaled.transpose(1, 2)  # (N, 4, S/4 * S/4)
        return spread(masks, high_res_1.shape[-1] // 2), iou
