"""Compares the graphs with the PyTorch models.

Every graph runs in ONNX Runtime on noise and on real photos. The references are open_clip's text tower, CLIP with CSA,
LoftUp in double precision and SAM2ImagePredictor. The rows of a batch are also compared with single inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wordmask.backends import run_to_host
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import HALO, AnyManifest, Loftup, Manifest
from wordmask.dense.loftup import window_inputs
from wordmask.objects.sam2 import resize_for_sam2
from wordmask.text.tokenizer import Tokenizer
from wordmask_export.graphs.specs import ClipImage, Protocol
from wordmask_export.models import clip_csa
from wordmask_export.models.loftup import LoftUp
from wordmask_export.models.pipeline import Models, decode_masks, encoder_maps, image_predictor

Array = NDArray[Any]
BATCH = 4
GUIDANCE_CROP = 96  # side in pixels of the compared part, because LoftUp in double precision is slow
TOWER_LIMIT = 1e-4
WORDS = ("cat", "coffee cup", "spoon", "table", "a person holding a red umbrella", "sky", "grass", "wall")


@dataclass(frozen=True)
class Figure:
    """A measured figure and its limit; without a limit it is only reported."""

    name: str
    value: float
    limit: float | None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the figure is within its limit; nan is not."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Tolerances:
    """Limits of the figures; None only reports, as with random weights in half precision, whose masks mean nothing."""

    relative: float | None
    loftup: float | None
    mask_iou: float | None
    agreement: float | None

    @classmethod
    def of(cls, manifest: AnyManifest) -> Tolerances:
        """Limits for the bundle of a manifest."""
        if manifest.precision == "fp32":
            return cls(relative=1e-4, loftup=2e-3, mask_iou=0.999, agreement=0.999)
        if manifest.domain == "random":
            return cls(None, None, None, None)
        return cls(relative=None, loftup=None, mask_iou=0.98, agreement=0.99)


def relative_error(found: Array, expected: Array) -> float:
    """|found - expected| / |expected|, Euclidean norms over all elements, in double precision."""
    expected = expected.astype(np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def worst_iou(found: Array, expected: Array) -> float:
    """Smallest IoU of the masks (N, ...) at threshold 0; two empty masks agree."""
    a, b = (x.reshape(len(x), -1) > 0 for x in (found, expected))
    both, either = (a & b).sum(1), (a | b).sum(1)
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).min())


def batch_error(
    graph: OrtGraph, inputs: dict[str, Array], batched: tuple[str, ...], together: dict[str, Array] | None = None
) -> float:
    """Largest relative error between a row of a batch and the same input alone, over all outputs.

    Args:
        graph: to run.
        inputs: of a batch.
        batched: names of those that have rows.
        together: the batch's outputs, where they are known.
    """
    rows = range(len(inputs[batched[0]]))
    alone = [run_to_host(graph, {n: x[i : i + 1] if n in batched else x for n, x in inputs.items()}) for i in rows]
    return rows_error(run_to_host(graph, inputs) if together is None else together, alone)


def rows_error(together: dict[str, Array], alone: list[dict[str, Array]]) -> float:
    """Largest relative error between the rows of a batch's outputs and those of single inputs."""
    return max(
        relative_error(together[name][row], value[0])
        for row, outputs in enumerate(alone)
        for name, value in outputs.items()
    )


class Parity:
    """Compares the graphs of a finished bundle with the models that it was built from."""

    def __init__(self, folder: Path, manifest: Manifest, models: Models, protocol: Protocol) -> None:
        self.folder, self.manifest, self.models, self.protocol = folder, manifest, models, protocol
        self.limits = Tolerances.of(manifest)
        self.random = np.random.default_rng(0)
        self.photos = real_photos()
        self.reference_clip = ClipImage(models, protocol).eval()

    def figures(self, name: str) -> list[Figure]:
        """Loads a graph and compares it, on the same noise whichever graphs were compared before."""
        self.random = np.random.default_rng(0)
        measure: Callable[[OrtGraph], Iterator[Figure]] = getattr(self, f"_{name}")
        entry = self.manifest.graphs[name]
        graph = OrtGraph(self.folder / entry.file, entry, device="cpu")
        with torch.inference_mode():
            return list(measure(graph))

    def windows(self) -> Array:
        """Two windows of photos and two of noise, u8 (4, S, S, 3)."""
        return windows(self.protocol.window, self.photos, self.random)

    @functools.cached_property
    def features(self) -> Array:
        """CLIP's features of those windows by the reference, f32 (4, D, h, w)."""
        same = windows(self.protocol.window, self.photos, np.random.default_rng(0))
        return np.asarray(self.reference_clip(torch.from_numpy(same)))

    @functools.cached_property
    def text(self) -> Array:
        """Unit embeddings of WORDS by open_clip, f32 (8, D)."""
        tokens = torch.from_numpy(self._tokens()).long()
        return np.asarray(self.models.clip.encode_text(tokens, normalize=True))

    def _tokens(self) -> NDArray[np.int32]:
        clip = self.manifest.clip
        return Tokenizer(self.folder / clip.merges.file, context_length=clip.context_length)(WORDS)

    def _clip_image(self, graph: OrtGraph) -> Iterator[Figure]:
        inputs = {"image": self.windows()}
        found = run_to_host(graph, inputs)
        yield Figure("clip_image.open_clip_error", self._tower_error(), TOWER_LIMIT)
        error = relative_error(found["features"], self.features)
        yield Figure("clip_image.relative_error", error, self.limits.relative)
        yield Figure("clip_image.batch_error", batch_error(graph, inputs, ("image",), found), self.limits.relative)

    def _tower_error(self) -> float:
        """Error of our image tower with CLIP's own attention against open_clip's: checks heads and activation."""
        clip = self.models.clip
        tower = clip_csa.load(
            clip.state_dict(), heads=self.models.clip_heads[0], attention="plain", quick_gelu=self.models.quick_gelu
        )
        grid = round((len(tower.positional_embedding) - 1) ** 0.5) * tower.patch
        image = torch.from_numpy(self.random.standard_normal((1, 3, grid, grid), dtype=np.float32))
        return relative_error(tower.tokens(image)[:, 0].numpy(), clip.encode_image(image).numpy())

    def _clip_text(self, graph: OrtGraph) -> Iterator[Figure]:
        tokens, expected = self._tokens(), self.text
        longest = int((tokens.argmax(1) + 1).max())
        cut = run_to_host(graph, {"tokens": np.ascontiguousarray(tokens[:, :longest])})["embeddings"]
        whole = run_to_host(graph, {"tokens": tokens})["embeddings"]
        error = max(relative_error(cut, expected), relative_error(whole, expected))
        yield Figure("clip_text.relative_error", error, self.limits.relative)
        rows = np.ascontiguousarray(tokens[:BATCH, :longest])
        yield Figure("clip_text.batch_error", batch_error(graph, {"tokens": rows}, ("tokens",)), self.limits.relative)

    @functools.cached_property
    def _loftup_case(self) -> tuple[dict[str, Array], Array]:
        """Inputs of the LoftUp graphs, guidance cropped, and the upsampled features in double precision, row by row."""
        assert self.manifest.loftup is not None
        assert self.models.loftup is not None
        inputs = loftup_inputs(self.windows(), self.features, self.manifest.loftup)
        return inputs, upsampled(self.models.loftup, inputs)

    def _logits(self, graph: OrtGraph, name: str) -> Iterator[Figure]:
        inputs, features = self._loftup_case
        inputs = {**inputs, "text": self.text}
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        expected = np.einsum("bdhw,cd->bchw", unit, self.text, optimize=True)
        together = run_to_host(graph, inputs)
        found = together["logits"]
        yield Figure(f"{name}.relative_error", relative_error(found, expected), self.limits.loftup)
        agreement = float((found.argmax(1) == expected.argmax(1)).mean())
        yield Figure(f"{name}.class_map_agreement", agreement, self.limits.agreement, at_least=True)
        batched = tuple(key for key in inputs if key not in ("key_table", "text"))
        yield Figure(f"{name}.batch_error", batch_error(graph, inputs, batched, together), self.limits.relative)

    _loftup = functools.partialmethod(_logits, name="loftup")
    _loftup_cpu = functools.partialmethod(_logits, name="loftup_cpu")

    def _loftup_features(self, graph: OrtGraph) -> Iterator[Figure]:
        inputs, expected = self._loftup_case
        found = run_to_host(graph, inputs)["features_out"]
        yield Figure("loftup_features.relative_error", relative_error(found, expected), self.limits.loftup)

    def _square(self) -> Array:
        """A photo at SAM2's size, u8 (S, S, 3), because SAM2ImagePredictor needs bytes."""
        return resize_for_sam2(self.photos[0], self.manifest.sam2.image_size).round().astype(np.uint8)

    @functools.cached_property
    def _predictor(self) -> Any:
        """SAM2ImagePredictor with the photo encoded."""
        predictor = image_predictor(self.models.sam2)
        predictor.set_image(self._square())
        return predictor

    def _sam2_encoder(self, graph: OrtGraph) -> Iterator[Figure]:
        photo = self._square()
        noise = self.random.integers(0, 256, photo.shape, dtype=np.uint8)
        images = np.stack([photo, noise]).astype(np.float32)
        alone = [run_to_host(graph, {"image": image[None]}) for image in images]
        self._maps = alone[0]
        of_noise = image_predictor(self.models.sam2)
        of_noise.set_image(noise)
        worst = 0.0
        for predictor, found in zip((self._predictor, of_noise), alone, strict=True):
            expected = encoder_maps(predictor)
            worst = max(worst, *(relative_error(found[name], value.numpy()) for name, value in expected.items()))
        yield Figure("sam2_encoder.relative_error", worst, self.limits.relative)
        yield Figure(
            "sam2_encoder.batch_error", rows_error(run_to_host(graph, {"image": images}), alone), self.limits.relative
        )

    @functools.cached_property
    def _maps(self) -> dict[str, Array]:
        """The photo, encoded by the graph; kept from the encoder's comparison where that was in this start."""
        entry = self.manifest.graphs["sam2_encoder"]
        encoder = OrtGraph(self.folder / entry.file, entry, device="cpu")
        return run_to_host(encoder, {"image": self._square()[None].astype(np.float32)})

    def _decoder(self, graph: OrtGraph, name: str) -> Iterator[Figure]:
        maps = self._maps
        errors, ious = [], []
        for labels in ((1,), (1, 1, 0), (2, 3)):
            prompts = self._prompts(labels, with_masks=name == "sam2_mask_decoder")
            found = run_to_host(graph, {**maps, **prompts})
            masks, iou = predict_all(self._predictor, prompts)
            errors += [relative_error(found["masks"], masks), relative_error(found["iou"], iou)]
            ious.append(worst_iou(found["masks"], masks))
        yield Figure(f"{name}.relative_error", max(errors), self.limits.relative)
        yield Figure(f"{name}.mask_iou", min(ious), self.limits.mask_iou, at_least=True)
        prompts = self._prompts((1,), with_masks=name == "sam2_mask_decoder")
        error = batch_error(graph, {**maps, **prompts}, tuple(prompts))
        yield Figure(f"{name}.batch_error", error, self.limits.relative)

    _sam2_decoder = functools.partialmethod(_decoder, name="sam2_decoder")
    _sam2_mask_decoder = functools.partialmethod(_decoder, name="sam2_mask_decoder")

    def _prompts(self, labels: tuple[int, ...], *, with_masks: bool) -> dict[str, Array]:
        """Four prompts with the given labels at random points; a box's corners are ordered, masks are noise."""
        size = self.manifest.sam2.image_size
        coords = self.random.uniform(0, size, (BATCH, len(labels), 2)).astype(np.float32)
        if labels == (2, 3):
            coords.sort(axis=1)
        prompts: dict[str, Array] = {
            "point_coords": coords,
            "point_labels": np.tile(np.array(labels, np.int32), (BATCH, 1)),
        }
        if with_masks:
            side = self.manifest.sam2.mask_size
            prompts["mask_prompts"] = self.random.normal(0, 6, (BATCH, 1, side, side)).astype(np.float32)
        return prompts


def windows(side: int, photos: list[Array], random: np.random.Generator) -> Array:
    """Two windows of photos and two of noise, u8 (4, side, side, 3)."""
    crops = [np.asarray(Image.fromarray(photo).resize((side * 3 // 2, side)))[:, :side] for photo in photos]
    noise = random.integers(0, 256, (BATCH - len(crops), side, side, 3), dtype=np.uint8)
    return np.concatenate([np.stack(crops), noise])


def loftup_inputs(windows: Array, features: Array, constants: Loftup) -> dict[str, Array]:
    """Inputs of the LoftUp graphs with cropped guidance, from windows u8 (B, S, S, 3), features f32 (B, D, h, w)."""
    side = min(GUIDANCE_CROP, windows.shape[1])
    guidance = windows[:, : side * 3 // 8 * 2, : side // 2 * 2]
    return {"features": features, **window_inputs(guidance, (features.shape[2], features.shape[3]), constants)}


def upsampled(module: LoftUp, inputs: dict[str, Array]) -> Array:
    """Features upsampled by the published function in double precision, row by row: f64 (B, D, H, W)."""
    module = module.double()
    rows = [
        module(torch.from_numpy(f)[None].double(), torch.from_numpy(g)[None].permute(0, 3, 1, 2)).numpy()
        for f, g in zip(inputs["features"], inputs["guidance"][:, HALO:-HALO, HALO:-HALO], strict=True)
    ]
    module.float()
    return np.concatenate(rows)


def real_photos() -> list[Array]:
    """The two photos in this package, RGB."""
    folder = Path(__file__).parents[1] / "data"
    return [np.asarray(Image.open(folder / name).convert("RGB")) for name in ("chelsea.jpg", "coffee.jpg")]


def predict_all(predictor: Any, prompts: dict[str, Array]) -> tuple[Array, Array]:
    """SAM2's logits of all four masks (N, 4, S/4, S/4) and their IoU (N, 4), for prompts in the square's coordinates.

    SAM2ImagePredictor returns only the first mask, or the other three.
    """
    given = {name: torch.from_numpy(value) for name, value in prompts.items()}
    coords, labels, prompted = given["point_coords"], given["point_labels"], given.get("mask_prompts")
    masks, iou = decode_masks(predictor.model, encoder_maps(predictor), coords, labels, prompted)
    return masks.numpy(), iou.numpy()
