"""The same pipeline as it is usually written in PyTorch: the baseline for wordmask's speed and results.

open_clip with SCLIP's attention in the last block, a loop over windows, LoftUp in its published formulation (sines for
every pixel, nn.MultiheadAttention with its defaults, the whole upsampled feature map), the class map in torch, then
SAM2ImagePredictor with one call per prompt. It does not share the exporters' modules, so that it can check them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wordmask.bundle.manifest import Clip
from wordmask.types import Prompt
from wordmask_export.models.pipeline import Models, image_predictor

Photo = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Masks:
    """One mask per prompt, bool (N, H, W), with the IoU that SAM2 predicts, f32 (N,)."""

    masks: NDArray[np.bool_]
    iou: NDArray[np.float32]


def scale(count: int, device: torch.device) -> Tensor:
    """LoftUp's frequencies."""
    return torch.exp(torch.linspace(-2, 10, count, device=device))


def positional(scalars: Tensor, biases: Tensor) -> Tensor:
    """Positional features as published: scalars (B, S, H, W), biases (2, S, F) -> (B, 2FS, H, W)."""
    count = biases.shape[2]
    angles = scalars[:, None] * scale(count, scalars.device).reshape(1, count, 1, 1, 1)  # (B, F, S, H, W)
    sine, cosine = biases.reshape(2, 1, count, -1, 1, 1)
    return torch.cat([torch.sin(angles + sine).flatten(1, 2), torch.cos(angles + cosine).flatten(1, 2)], dim=1)


def grid(height: int, width: int, batch: int, device: torch.device) -> Tensor:
    """Rows and columns from -1 to 1, (B, 2, H, W)."""
    rows, columns = torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(batch, -1, -1, -1)


def loftup(model: Any, features: Tensor, image: Tensor) -> Tensor:
    """LoftUp as published, on the weights of a wordmask_export.models.loftup.LoftUp: (B, D, h, w), (B, 3, H, W)."""
    net = model.upsampler
    batch, _, height, width = image.shape
    low = model.channelnorm(features)
    flat = image.permute(1, 0, 2, 3).reshape(3, -1)
    least, most = (x.reshape(1, 3, 1, 1) for x in (flat.amin(1), flat.amax(1)))
    colours = (image - least) / (most - least).clamp_min(1e-4) - 0.5
    scalars = torch.cat([grid(height, width, batch, image.device), colours], dim=1)
    pixels = net.first_conv(torch.cat([positional(scalars, net.fourier_feat[1].biases), colours], dim=1))
    positions = positional(grid(*low.shape[2:], batch, low.device), net.lr_pe.biases)  # type: ignore[call-arg]
    kv = torch.cat([low, positions], dim=1).flatten(2).permute(0, 2, 1)
    x = pixels.flatten(2).permute(0, 2, 1)
    for attention, feed_forward in net.ca_transformer.layers:
        memory = attention.norm_kv(kv)
        x = attention.attention(attention.norm_q(x), memory, memory)[0] + x
        x = feed_forward(x) + x
    x = net.ca_transformer.norm(x).permute(0, 2, 1).reshape(batch, -1, height, width)
    return net.final_conv[1](net.final_conv[0](x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def csa(block: Any, x: Tensor) -> Tensor:
    """Runs open_clip's last block with SCLIP's attention: tokens (B, L, width)."""
    batch, length, width = x.shape
    heads = block.attn.num_heads
    qkv = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    q, k, v = (
        part.reshape(batch, length, heads, -1).transpose(1, 2).reshape(batch * heads, length, -1)
        for part in qkv.chunk(3, dim=-1)
    )
    factor = (width // heads) ** -0.5
    weights = torch.bmm(q, q.transpose(1, 2)).mul(factor).softmax(-1)
    weights = weights + torch.bmm(k, k.transpose(1, 2)).mul(factor).softmax(-1)
    mixed = torch.bmm(weights, v).reshape(batch, heads, length, -1).transpose(1, 2).reshape(batch, length, width)
    x = x + block.attn.out_proj(mixed)
    return x + block.mlp(block.ln_2(x))  # type: ignore[no-any-return]


class EagerChain:
    """The PyTorch pipeline over loaded models; windows must be as large as CLIP's training images."""

    def __init__(self, models: Models, constants: Clip, *, device: str = "cpu") -> None:
        """Moves the models to the device.

        Args:
            models: as wordmask_export.models.pipeline.load gives them.
            constants: of the bundle that is compared.
            device: as torch names it, such as `cpu` or `cuda:0`.
        """
        self.device = torch.device(device)
        for module in (models.clip, models.loftup, models.sam2):
            if module is not None:
                module.to(self.device)
        logging.getLogger().setLevel(logging.WARNING)  # SAM2ImagePredictor logs every photo
        self.models, self.constants = models, constants
        self.predictor = image_predictor(models.sam2)
        self.tokenizer = open_clip.SimpleTokenizer(context_length=constants.context_length)

    @torch.inference_mode()
    def embed(self, words: Sequence[str]) -> Tensor:
        """Unit word embeddings (C, D), the mean over the templates, prompts at full length."""
        rows = []
        for word in words:
            prompts = [template.replace("{}", word) for template in self.constants.templates]
            unit = F.normalize(self.models.clip.encode_text(self.tokenizer(prompts).to(self.device)), dim=-1)
            rows.append(F.normalize(unit.mean(0), dim=-1))
        return torch.stack(rows)

    def features(self, window: Tensor) -> Tensor:
        """Dense CLIP features (B, D, h, w) of normalised windows (B, 3, S, S)."""
        visual = self.models.clip.visual
        x = visual.conv1(window)
        rows, columns = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
        x = visual.ln_pre(x + visual.positional_embedding)
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        x = visual.ln_post(csa(visual.transformer.resblocks[-1], x))[:, 1:] @ visual.proj
        return x.transpose(1, 2).reshape(len(x), -1, rows, columns)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def class_map(self, photo: Photo, text: Tensor, *, use_loftup: bool = True) -> tuple[NDArray[np.int64], Tensor]:
        """Class of every pixel (H, W), and probabilities (C, H, W) on the device; each row of `text` is a class."""
        image, size = self.resize(photo)
        side = self.constants.window
        corners = self._windows(image.shape[2], image.shape[3])
        tiles = (self._logits(image[:, :, y : y + side, x : x + side], text, use_loftup) for y, x in corners)
        total = torch.zeros(1, len(text), *image.shape[2:], device=self.device)
        return self.classify(self.stitch(tiles, corners, total), size, (photo.shape[0], photo.shape[1]))

    def resize(self, photo: Photo) -> tuple[Tensor, tuple[int, int]]:
        """The photo for CLIP (1, 3, h, w), padded to a window by repeated edges, and its size before that."""
        clip = self.constants
        height, width = photo.shape[:2]
        factor = min(clip.long_side / max(height, width), clip.short_side / min(height, width))
        size = (int(height * factor + 0.5), int(width * factor + 0.5))
        resized = cv2.resize(photo, size[::-1])
        below, right = (max(clip.window - length, 0) for length in size)
        padded = cv2.copyMakeBorder(resized, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return self.normalise(torch.from_numpy(padded)[None]), size

    def stitch(self, tiles: Iterable[Tensor], corners: Sequence[tuple[int, int]], total: Tensor) -> Tensor:
        """Averages the logits (1, C, S, S) of overlapping windows; `total` is zeros (1, C, h, w)."""
        side = self.constants.window
        count = torch.zeros(1, 1, *total.shape[2:], device=self.device)
        for tile, (y, x) in zip(tiles, corners, strict=True):
            total[:, :, y : y + side, x : x + side] += tile
            count[:, :, y : y + side, x : x + side] += 1
        return total / count

    def classify(
        self, logits: Tensor, resized: tuple[int, int], size: tuple[int, int]
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Class and probabilities at the photo's size, from logits (1, C, h, w) padded from the size `resized`."""
        inside = logits[:, :, : resized[0], : resized[1]]
        whole = F.interpolate(inside, size=size, mode="bilinear", align_corners=False)
        probabilities = (whole[0] * self.constants.logit_scale).softmax(0)
        return probabilities.argmax(0).cpu().numpy(), probabilities

    def normalise(self, image: Tensor) -> Tensor:
        """Normalises bytes (B, H, W, 3) to CLIP's input (B, 3, H, W) on the device."""
        mean, std = (torch.tensor(x, device=self.device) for x in (self.models.mean, self.models.std))
        return (image.to(self.device) / 255 - mean).div(std).permute(0, 3, 1, 2)

    def _logits(self, window: Tensor, text: Tensor, use_loftup: bool) -> Tensor:
        features = self.features(window)
        if use_loftup:
            return self.upsample(features, window, text)
        logits = torch.einsum("bdhw,cd->bchw", F.normalize(features, dim=1), text)
        return F.interpolate(logits, size=window.shape[2:], mode="bilinear", align_corners=False)

    def upsample(self, features: Tensor, window: Tensor, text: Tensor) -> Tensor:
        """LoftUp's class similarities (B, C, S, S) of features (B, D, h, w) and normalised windows (B, 3, S, S)."""
        upsampled = loftup(self.models.loftup, features, window)
        return torch.einsum("bdhw,cd->bchw", F.normalize(upsampled, dim=1), text)

    def _windows(self, height: int, width: int) -> list[tuple[int, int]]:
        """Corners of SCLIP's sliding windows; the last of a row or column is shifted back."""
        side, stride = self.constants.window, self.constants.stride
        rows = range(max(height - side + stride - 1, 0) // stride + 1)
        columns = range(max(width - side + stride - 1, 0) // stride + 1)
        return [
            (max(min(i * stride + side, height) - side, 0), max(min(j * stride + side, width) - side, 0))
            for i in rows
            for j in columns
        ]

    @torch.inference_mode()
    def masks(self, photo: Photo, prompts: Sequence[Prompt]) -> Masks:
        """SAM2 as in its notebook: set_image, then predict for every prompt."""
        self.predictor.set_image(photo)
        masks, ious = [], []
        for prompt in prompts:
            single = len(prompt.points) == 1
            points, labels = prompt.points, prompt.labels
            box = points[labels >= 2].reshape(-1) if (labels >= 2).any() else None
            found, iou, _ = self.predictor.predict(
                point_coords=points[labels < 2], point_labels=labels[labels < 2], box=box, multimask_output=single
            )
            best = int(iou.argmax())
            masks.append(found[best] > 0)
            ious.append(iou[best])
        return Masks(np.array(masks), np.array(ious, np.float32))

    @torch.inference_mode()
    def masks_at_once(self, photo: Photo, prompts: Sequence[Prompt]) -> Masks:
        """The same masks with one call for all prompts that have equally many points; only the best masks leave torch.

        A box is given as two points with the labels 2 and 3, as SAM2's `predict` does.
        """
        self.predictor.set_image(photo)
        masks = np.empty((len(prompts), *photo.shape[:2]), np.bool_)
        ious = np.empty(len(prompts), np.float32)
        for count in {len(prompt.points) for prompt in prompts}:
            members = [i for i, prompt in enumerate(prompts) if len(prompt.points) == count]
            points, labels = (np.stack([getattr(prompts[i], key) for i in members]) for key in ("points", "labels"))
            _, coordinates, kinds, _ = self.predictor._prep_prompts(points, labels, None, None, True)  # noqa: SLF001  (sam2 has no public name for it)
            found, iou, _ = self.predictor._predict(coordinates, kinds, multimask_output=count == 1)  # noqa: SLF001  (sam2 has no public name for it)
            best, rows = iou.argmax(1), torch.arange(len(members), device=iou.device)
            masks[members] = found[rows, best].cpu().numpy()
            ious[members] = iou[rows, best].float().cpu().numpy()
        return Masks(masks, ious)
