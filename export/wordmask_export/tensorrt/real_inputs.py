"""Real inputs for every graph of a bundle: the shipped photos, through the runtime's own steps and ONNX Runtime."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.backends import run_to_host
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.engines import Profile
from wordmask.bundle.manifest import Manifest, Sam2
from wordmask.dense.loftup import window_inputs
from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.objects.mask_choice import REGION_LOGIT
from wordmask.objects.sam2 import resize_for_sam2
from wordmask.text.tokenizer import Tokenizer

Arrays = dict[str, NDArray[Any]]
PHOTOS = ("chelsea.jpg", "coffee.jpg")
WORDS = ("cat", "cup", "spoon", "table", "eye", "wall", "plate", "saucer")


class RealInputs:
    """Makes inputs for a graph, as many rows as a profile wants; what graphs need of each other runs on the CPU."""

    def __init__(self, bundle: Path, manifest: Manifest) -> None:
        self._bundle, self._manifest = bundle, manifest
        folder = Path(__file__).parents[1] / "data"
        self._photos = [np.asarray(Image.open(folder / name).convert("RGB")) for name in PHOTOS]

    def of(self, graph: str, profile: Profile) -> Arrays:
        """The inputs of a graph, by name.

        Args:
            graph: its name in the manifest.
            profile: its rows (B, N, T) decide how many rows there are.
        """
        rows = {symbol: size.maximum for symbol, size in profile.items()}
        match graph:
            case "clip_image":
                return {"image": self._windows(rows["B"])}
            case "clip_text":
                return {"tokens": self._tokens(rows["T"])}
            case "loftup":
                return {**self._loftup(rows["B"]), "text": self._text}
            case "loftup_features":
                return self._loftup(rows["B"])
            case "sam2_encoder":
                return {"image": self._squares(rows["B"])}
            case "sam2_decoder":
                return {**self._maps, **self._prompts(rows["N"])}
            case "sam2_mask_decoder":
                prompts = self._prompts(rows["N"])
                masks = discs(prompts["point_coords"], self._manifest.sam2)
                return {**self._maps, **prompts, "mask_prompts": masks}
        raise ValueError(f"{graph}: no real inputs are known for this graph")

    def _graph(self, name: str) -> OrtGraph:
        entry = self._manifest.graphs[name]
        return OrtGraph(self._bundle / entry.file, entry, device="cpu")

    def _windows(self, count: int) -> NDArray[np.uint8]:
        """u8 (count, S, S, 3), photos in turn."""
        clip = self._manifest.clip
        found = [cut_windows(resize_for_clip(photo, clip), clip)[0] for photo in self._photos]
        pairs = [windows[i % len(windows)] for i in range(count) for windows in found]
        return np.stack(pairs[:count])

    def _tokens(self, count: int) -> NDArray[np.int32]:
        """i32 (count, L), cut to the longest prompt."""
        clip = self._manifest.clip
        tokenizer = Tokenizer(self._bundle / clip.merges.file, context_length=clip.context_length)
        pairs = [template.replace("{}", word) for template in clip.templates for word in WORDS]
        tokens = tokenizer([pairs[i % len(pairs)] for i in range(count)])
        return np.ascontiguousarray(tokens[:, : int((tokens.argmax(1) + 1).max())])

    @functools.cached_property
    def _text(self) -> NDArray[Any]:
        """f32 (len(WORDS), D): embeddings of the words."""
        return run_to_host(self._graph("clip_text"), {"tokens": self._tokens(len(WORDS))})["embeddings"]

    def _loftup(self, count: int) -> Arrays:
        windows = self._windows(count)
        features = run_to_host(self._graph("clip_image"), {"image": windows})["features"]
        assert self._manifest.loftup is not None
        grid = (features.shape[2], features.shape[3])
        return {"features": features, **window_inputs(windows, grid, self._manifest.loftup)}

    def _squares(self, count: int) -> NDArray[np.float32]:
        """f32 (count, S, S, 3): the photos in turn, every other pair mirrored."""
        squares = [resize_for_sam2(photo, self._manifest.sam2.image_size) for photo in self._photos]
        squares += [square[:, ::-1] for square in squares]
        return np.stack([squares[i % len(squares)] for i in range(count)])

    @functools.cached_property
    def _maps(self) -> Arrays:
        """SAM2's encoding of the first photo."""
        return run_to_host(self._graph("sam2_encoder"), {"image": self._squares(1)})

    def _prompts(self, count: int) -> Arrays:
        """Single points on a grid over the photo."""
        side = int(np.ceil(count**0.5))
        steps = (np.arange(side) + 0.5) * self._manifest.sam2.image_size / side
        points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)[:count]
        return {
            "point_coords": points.astype(np.float32),
            "point_labels": np.ones((count, 1), np.int32),
        }


def discs(points: NDArray[np.float32], sam2: Sam2) -> NDArray[np.float32]:
    """Mask prompts like those of regions: logits f32 (N, 1, m, m) of a disc around each point f32 (N, 1, 2)."""
    side = sam2.mask_size
    centres = points * (side / sam2.image_size)
    rows, columns = np.mgrid[:side, :side] + 0.5
    away = np.hypot(columns - centres[..., :1], rows - centres[..., 1:])
    return np.where(away < side / 8, REGION_LOGIT, -REGION_LOGIT).astype(np.float32)[:, None]
