"""PyTorch's side of the benchmark: wordmask_bench.torch_baseline.chain and the usual ways to make it faster.

`eager` is the chain as it is usually written. `batched` gives SAM2 all prompts in one call and selects the best masks
before they leave torch. `autocast` is `batched` in half precision (bf16 on a CPU, fp16 on a GPU), `compile` is
`batched` with torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from wordmask.bundle.manifest_reading import read_manifest
from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.formats import pictures
from wordmask.formats.coco import coco_annotation, coco_document, coco_image
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.reading import decode
from wordmask.system.files import write_bytes, write_files
from wordmask.timing import StageTimer
from wordmask.types import Prompt
from wordmask_bench.speed.side import Photo, Setup, Stage, Windows, grid_prompts, one_window, random_tiles, repeated
from wordmask_bench.speed.smooth import smooth_class_map, smooth_logits, smooth_masks
from wordmask_bench.torch_baseline.chain import EagerChain, Masks
from wordmask_bench.torch_baseline.masks import keep_masks
from wordmask_bench.torch_baseline.models import compile_chain, load_models
from wordmask_bench.torch_baseline.stages import STAGES, Eager, Tensors
from wordmask_export.models.pipeline import encoder_maps


class EagerSide:
    """The PyTorch chain as a side of the benchmark."""

    def __init__(self, setup: Setup) -> None:
        """Loads the models."""
        self.setup = setup
        torch.set_num_threads(setup.threads)
        cv2.setNumThreads(setup.threads)
        self.manifest = read_manifest(Path(setup.bundle))
        models = load_models(self.manifest, setup.models)
        self.chain = EagerChain(models, self.manifest.clip, device=setup.device)
        self.eager = Eager(self.chain, half=setup.variant == "autocast")
        self.use_loftup = models.loftup is not None and setup.options.use_loftup is not False
        if setup.variant == "compile":
            compile_chain(self.chain)
        constants = self.manifest.sam2
        self._mask_form = (constants.mask_size, constants.mask_threshold)
        classes = [*setup.vocabulary.classes, setup.vocabulary.background]
        self.class_of = np.repeat(np.arange(len(classes)), [len(words) for words in classes])

    def windows(self, choice: Windows) -> None:
        """See Side."""
        constants = self.manifest.clip
        self.chain.constants = one_window(constants) if choice == "one" else constants

    def words(self, file: Path) -> None:
        """See Side."""
        self.text = torch.from_numpy(np.load(file, allow_pickle=False)).to(self.chain.device)

    def photo(self, path: Path, prompts: Sequence[Prompt], out: Path) -> dict[str, float]:
        """See Side; prompts are also extracted, so that this time is included."""
        return self._photo(path, prompts, out, "0").seconds

    def folder(self, paths: Sequence[Path], prompts: Sequence[Sequence[Prompt]], out: Path) -> None:
        """See Side: a loop over the photos."""
        for number, (path, given) in enumerate(zip(paths, prompts, strict=True)):
            self._photo(path, given, out, str(number))

    def _photo(self, path: Path, prompts: Sequence[Prompt], out: Path, name: str) -> StageTimer:
        timer, words, options = StageTimer(), self.setup.vocabulary.names, self.setup.options
        with timer.measure("decode"):
            photo = decode(path).copy()
        with timer.measure("class_map"):
            index, confidence = self._class_map(photo)
        size, grid = (photo.shape[0], photo.shape[1]), self.setup.grid
        regions = (index, confidence) if grid is None else smooth_class_map(size, grid, len(words))
        with timer.measure("prompts"):
            extract_prompts(*regions, len(words), options)
        with timer.measure("sam2"):
            masks = self._masks(photo, prompts)
        if grid is not None:
            masks = replace(masks, masks=smooth_masks(size, grid, *self._mask_form))
        with timer.measure("masks"):
            semantic, instances = keep_masks(
                masks, prompts, words, index, confidence, options.iou_threshold, side=self._mask_form[0]
            )
        with timer.measure("write"):
            write_bytes(out / "semantic" / f"{name}.png", pictures.label_png(semantic, len(words)))
            image = coco_image(1, str(path), (photo.shape[0], photo.shape[1]))
            annotations = [coco_annotation(instance) for instance in instances]
            write_files({out / f"{name}.json": coco_document(words, [(image, annotations)])})
        return timer

    def _class_map(self, photo: Photo) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Class of every pixel (len(classes) for the background) and its probability."""
        with self.eager.mode():
            index, probabilities = self.chain.class_map(photo, self.text, use_loftup=self.use_loftup)
            return self.class_of[index], probabilities.amax(0).float().cpu().numpy()

    def _masks(self, photo: Photo, prompts: Sequence[Prompt]) -> Masks:
        with self.eager.mode():
            one_by_one = self.setup.variant == "eager"
            return (self.chain.masks if one_by_one else self.chain.masks_at_once)(photo, prompts)

    def answers(self, path: Path, prompts: Sequence[Prompt]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """See Side."""
        photo = decode(path).copy()
        index, _ = self._class_map(photo)
        dense = np.where(index < len(self.setup.vocabulary.classes), index + 1, 0).astype(np.uint16)
        return dense, self._masks(photo, prompts).masks

    def stage(self, name: Stage, path: Path, rows: int) -> Callable[[], object]:
        """See Side."""
        photo = decode(path).copy()
        if name == "words":
            return self._timed(lambda: self.chain.embed(self.setup.vocabulary.names[:1]))
        if name in ("clip", "loftup", "class_map"):
            return self._dense_stage(name, photo, rows)
        if name == "sam2_encoder":
            return self._timed(lambda: self._encode(photo)["image_embed"])
        prompts = grid_prompts((photo.shape[0], photo.shape[1]), self.setup.points, len(self.setup.vocabulary.classes))
        if name == "sam2_decoder":
            return self._decoder_stage(photo, prompts)
        assert name == "masks"  # both sides extract prompts with the same function
        return self._masks_stage(photo, prompts)

    def _timed(self, call: Callable[[], torch.Tensor]) -> Callable[[], object]:
        """A stage in this side's precision, with its result copied to the host."""

        def run() -> object:
            with self.eager.mode():
                return call().float().cpu().numpy()

        return run

    def _dense_stage(self, name: Stage, photo: Photo, rows: int) -> Callable[[], object]:
        chain, constants = self.chain, self.chain.constants
        cut, corners = cut_windows(resize_for_clip(photo, constants), constants)
        windows = torch.from_numpy(repeated(cut, rows))
        if name == "clip":
            return self._timed(lambda: chain.features(chain.normalise(windows)))
        if name == "loftup":
            with self.eager.mode():
                features = chain.features(chain.normalise(windows)).float().cpu()
            return self._timed(lambda: chain.upsample(features.to(chain.device), chain.normalise(windows), self.text))
        tiles = torch.from_numpy(random_tiles(len(corners), len(self.text), constants.window)).to(chain.device)
        image, resized = chain.resize(photo)

        def class_map() -> torch.Tensor:
            total = torch.zeros(1, len(self.text), *image.shape[2:], device=chain.device)
            logits = chain.stitch(tiles[:, None], corners, total)
            _, probabilities = chain.classify(logits, resized, (photo.shape[0], photo.shape[1]))
            return probabilities.amax(0)

        return self._timed(class_map)

    def _encode(self, photo: Photo) -> Tensors:
        """SAM2's encoder outputs, as its decoder takes them."""
        self.chain.predictor.set_image(photo)
        return encoder_maps(self.chain.predictor)

    def _decoder_stage(self, photo: Photo, prompts: Sequence[Prompt]) -> Callable[[], object]:
        """Prompt encoder and mask decoder up to low-resolution masks: one call per prompt, or one call for all."""
        with self.eager.mode():
            maps = self._encode(photo)
        return self._timed(lambda: self._low_res(maps, photo, prompts))

    def _low_res(self, maps: Tensors, photo: Photo, prompts: Sequence[Prompt]) -> torch.Tensor:
        step = 1 if self.setup.variant == "eager" else len(prompts)
        side = self.manifest.sam2.image_size / np.array([photo.shape[1], photo.shape[0]], np.float32)
        parts = []
        for start in range(0, len(prompts), step):
            some = prompts[start : start + step]
            points = torch.from_numpy(np.stack([prompt.points * side for prompt in some]).astype(np.float32))
            labels = torch.from_numpy(np.stack([prompt.labels for prompt in some]))
            asked = {"point_coords": points.to(self.chain.device), "point_labels": labels.to(self.chain.device)}
            outputs = STAGES["sam2_decoder"](self.chain, {**maps, **asked})
            best = 1 + outputs["iou"][:, 1:].argmax(1)  # of three, as for single points
            parts.append(outputs["masks"][torch.arange(len(some), device=best.device), best])
        return torch.cat(parts)

    def _masks_stage(self, photo: Photo, prompts: Sequence[Prompt]) -> Callable[[], object]:
        """Upsamples masks to the photo's size, drops duplicates, encodes and paints the rest."""
        with self.eager.mode():
            low_res = self._low_res(self._encode(photo), photo, prompts).float()
        if self.setup.grid is not None:
            smooth = smooth_logits((photo.shape[0], photo.shape[1]), self.setup.grid, self._mask_form[0])
            low_res = torch.from_numpy(smooth).to(self.chain.device)
        iou, words = np.ones(len(prompts), np.float32), self.setup.vocabulary.names
        class_map = smooth_class_map((photo.shape[0], photo.shape[1]), self.setup.points, len(words))

        def run() -> object:
            with self.eager.mode():
                whole = F.interpolate(low_res[:, None], size=photo.shape[:2], mode="bilinear", align_corners=False)
                masks = Masks((whole[:, 0] > self.manifest.sam2.mask_threshold).cpu().numpy(), iou)
            return keep_masks(
                masks, prompts, words, *class_map, self.setup.options.iou_threshold, side=self._mask_form[0]
            )

        return run
