"""wordmask's side of the benchmark: the functions that `wordmask run` uses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import resize
from wordmask.arrays import Floats
from wordmask.backends import to_host
from wordmask.bundle.manifest import Clip
from wordmask.bundle.opening import open_bundle
from wordmask.dense.classmap import classify
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import upsample_logits
from wordmask.dense.stitching import stitch
from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.loading import load_graphs
from wordmask.objects.instances import make_instances
from wordmask.objects.masks import paint
from wordmask.objects.prompts import PromptSource, extract_prompts
from wordmask.objects.sam2 import MaskDecoder, MaskSource, decode_prompts
from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask.types import EncodedPhoto, Options, Prompt
from wordmask_bench.speed.folder_run import run_photos
from wordmask_bench.speed.side import Photo, Setup, Stage, Windows, grid_prompts, one_window, random_tiles, repeated
from wordmask_bench.speed.smooth import smooth_class_map, smooth_logits


class WordmaskSide:
    """wordmask as a side of the benchmark: one Segmenter for each choice of windows, over the same graphs."""

    def __init__(self, setup: Setup) -> None:
        """Loads the bundle."""
        self.setup = setup
        cv2.setNumThreads(setup.threads)
        bundle = open_bundle(setup.bundle)
        loaded = load_graphs(
            bundle,
            device=setup.device,
            upsampler_device=setup.upsampler_device,
            threads=setup.threads,
            tensorrt_precision=setup.tensorrt_precision,
        )
        prompts, masks = sources(setup.grid)
        clips: dict[Windows, Clip] = {"default": bundle.manifest.clip, "one": one_window(bundle.manifest.clip)}
        self.protocols = {
            choice: Segmenter(
                replace(bundle, manifest=replace(bundle.manifest, clip=clip)),
                loaded=loaded,
                threads=setup.threads,
                prompt_source=prompts,
                mask_source=masks,
            )
            for choice, clip in clips.items()
        }
        self.segmenter = self.protocols["default"]

    def windows(self, choice: Windows) -> None:
        """See Side."""
        self.segmenter = self.protocols[choice]

    def words(self, file: Path) -> None:
        """See Side."""
        self.queries = self.segmenter.embed(self.setup.vocabulary)
        np.save(file, self.queries.embeddings)

    def photo(self, path: Path, prompts: Sequence[Prompt], out: Path) -> dict[str, float]:
        """See Side; the given prompts come from this side, so it extracts the same again."""
        figures = run_photos(self.segmenter, self.queries, self.setup.options, [path], out)
        return {stage: milliseconds / 1000 for stage, milliseconds in figures.stages_ms.items()}

    def folder(self, paths: Sequence[Path], prompts: Sequence[Sequence[Prompt]], out: Path) -> None:
        """See Side."""
        run_photos(self.segmenter, self.queries, self.setup.options, paths, out)

    def prompts(self, path: Path) -> list[Prompt]:
        """The prompts that the pipeline gives SAM2 for a photo."""
        photo, count = decode(path), len(self.queries.vocabulary.classes)
        if self.setup.grid is not None:
            return grid_prompts((photo.shape[0], photo.shape[1]), self.setup.grid, count)
        dense = self.segmenter.class_map(photo, self.queries, self.setup.options)
        return extract_prompts(dense.index, dense.confidence, count, self.setup.options)

    def answers(self, path: Path, prompts: Sequence[Prompt]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """See Side."""
        photo = decode(path)
        dense = self.segmenter.class_map(photo, self.queries, self.setup.options)
        decoder = MaskDecoder(self.segmenter.graphs["sam2_decoder"], self.segmenter.manifest.sam2)
        low_res, _ = decode_prompts(decoder, self.segmenter.encode(photo), prompts)
        size = (photo.shape[0], photo.shape[1])
        masks = np.empty((len(prompts), *size), np.bool_)
        for mask, logits in zip(masks, low_res, strict=True):
            mask[...] = resize.bilinear(logits, size) > decoder.constants.mask_threshold
        return dense.labels(len(self.queries.vocabulary.classes)), masks

    def stage(self, name: Stage, path: Path, rows: int) -> Callable[[], object]:
        """See Side."""
        photo = decode(path)
        if name in ("clip", "loftup", "class_map"):
            return self._dense_stage(name, photo, rows)
        if name == "words":
            return functools.partial(self.segmenter.embedder.compute, self.setup.vocabulary.names[:1])
        if name == "sam2_encoder":
            return lambda: to_host(self.segmenter.encode(photo).maps["image_embed"])
        return self._prompted_stage(name, photo)

    def _dense_stage(self, name: Stage, photo: Photo, rows: int) -> Callable[[], object]:
        constants, graphs = self.segmenter.manifest.clip, self.segmenter.graphs
        resized = resize_for_clip(photo, constants)
        cut, corners = cut_windows(resized, constants)
        windows = repeated(cut, rows)
        if name == "clip":
            return lambda: encode_windows(graphs["clip_image"], windows)
        text = self.queries.embeddings
        if name == "loftup":
            upsampler = self.segmenter.loaded.upsampler("loftup", self.segmenter.manifest.loftup, rows)
            features = encode_windows(graphs["clip_image"], windows)
            return lambda: upsample_logits(upsampler, features, windows, text)
        tiles = random_tiles(len(corners), len(text), constants.window)

        def class_map() -> object:
            threads = self.segmenter.threads
            logits = stitch(tiles, corners, (resized.shape[0], resized.shape[1]), threads=threads)
            size = (photo.shape[0], photo.shape[1])
            return classify(logits, self.queries.class_starts, size, constants.logit_scale, threads=threads)

        return class_map

    def _prompted_stage(self, name: Stage, photo: Photo) -> Callable[[], object]:
        vocabulary, options = self.queries.vocabulary, self.setup.options
        if name == "prompts":
            dense = self.segmenter.class_map(photo, self.queries, options)
            return lambda: extract_prompts(dense.index, dense.confidence, len(vocabulary.classes), options)
        size = (photo.shape[0], photo.shape[1])
        prompts = grid_prompts(size, self.setup.points, len(vocabulary.classes))
        encoded = self.segmenter.encode(photo)
        if name == "sam2_decoder":
            return lambda: self.segmenter.decode(encoded, prompts)
        low_res, iou = self.segmenter.decode(encoded, prompts)
        index, confidence = smooth_class_map(size, self.setup.points, len(vocabulary.classes))
        threshold = self.segmenter.manifest.sam2.mask_threshold
        known = (prompts, low_res, iou, vocabulary.names, index, confidence, options)
        return lambda: paint(make_instances(*known, mask_threshold=threshold), size)


def sources(grid: int | None) -> tuple[PromptSource, MaskSource]:
    """The pipeline's functions for prompts and masks; with a number of points, those that use a grid instead."""
    if grid is None:
        return extract_prompts, decode_prompts
    return functools.partial(extract_then_grid, grid), functools.partial(decode_then_smooth, grid)


def extract_then_grid(
    points: int, class_map: NDArray[np.integer[Any]], confidence: Floats, n_classes: int, options: Options
) -> list[Prompt]:
    """Extracts prompts from a smooth class map, so that this time is included, but returns a grid."""
    size = (class_map.shape[0], class_map.shape[1])
    extract_prompts(*smooth_class_map(size, points, n_classes), n_classes, options)
    return grid_prompts(size, points, n_classes)


def decode_then_smooth(
    points: int, decoder: MaskDecoder, encoded: EncodedPhoto, prompts: Sequence[Prompt]
) -> tuple[Floats, Floats]:
    """Decodes the grid's prompts, but returns smooth masks, because those of random weights are noise."""
    _, iou = decode_prompts(decoder, encoded, prompts)
    return smooth_logits(encoded.size, points, decoder.constants.mask_size), iou
