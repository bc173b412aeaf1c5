"""The interface of a side of the benchmark, which wordmask and PyTorch implement, and its settings.

Does not import torch: wordmask's process runs without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wordmask.bundle.engines import Precision
from wordmask.bundle.manifest import Clip
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options, Prompt
from wordmask_bench.torch_baseline.files import ModelFiles

Photo = NDArray[np.uint8]
Windows = Literal["one", "default"]
Variant = Literal["wordmask", "eager", "batched", "autocast", "compile"]
Stage = Literal["clip", "loftup", "class_map", "prompts", "sam2_encoder", "sam2_decoder", "masks", "words"]
# the PyTorch pipeline does not check its masks and prompts with points alone, so wordmask's side does the same
LIKE_PYTORCH = {"mask_pieces": "all", "min_score": 0.0, "across_words_iou": 1.0, "mask_prompts": False}


@dataclass(frozen=True)
class Setup:
    """Settings of one side.

    Attributes:
        variant: wordmask, or a form of the PyTorch chain.
        bundle: folder.
        device: as wordmask names it; on a PyTorch side as torch does.
        threads: cores that the side may use.
        vocabulary: the classes and the background words.
        options: of the pipeline.
        grid: number of points of a grid that replaces the prompts of each photo; None keeps the prompts.
        points: number of prompts in the decoder's and the masks' stages.
        models: for the PyTorch side.
        upsampler_device, tensorrt_precision: see Segmenter.
    """

    variant: Variant
    bundle: str
    device: str
    threads: int
    vocabulary: Vocabulary
    options: Options
    grid: int | None
    points: int
    models: ModelFiles = field(default_factory=ModelFiles)
    upsampler_device: str | None = None
    tensorrt_precision: Precision = "fp16"


class Side(Protocol):
    """A loaded side of the benchmark."""

    def windows(self, choice: Windows) -> None:
        """Sets whether a photo is one window, or cut as the bundle says."""
        ...

    def words(self, file: Path) -> None:
        """Gets the vocabulary's embeddings: wordmask reads its cache and writes a .npy file, PyTorch reads that file.

        Embedding is timed as a stage; that the text towers agree is checked when a bundle is built.
        """
        ...

    def photo(self, path: Path, prompts: Sequence[Prompt], out: Path) -> dict[str, float]:
        """Runs a photo from its file to the written masks with the given prompts; returns the seconds of each stage."""
        ...

    def folder(self, paths: Sequence[Path], prompts: Sequence[Sequence[Prompt]], out: Path) -> None:
        """Runs many photos from their files to the written masks."""
        ...

    def stage(self, name: Stage, path: Path, rows: int) -> Callable[[], object]:
        """Prepares one stage on real inputs, from host arrays to host arrays; each call of the result runs it.

        Args:
            name: of the stage.
            path: of the photo it works on.
            rows: windows in the batch, for the stages that run on windows.
        """
        ...

    def answers(self, path: Path, prompts: Sequence[Prompt]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Class map before SAM2, u16 (H, W), coded as Segmentation.dense, and one mask per prompt, bool (N, H, W)."""
        ...


def one_window(constants: Clip) -> Clip:
    """Constants with which one window covers any photo: the long side is resized to the window's, aspect kept."""
    return replace(constants, short_side=constants.window, long_side=constants.window)


def grid_prompts(size: tuple[int, int], count: int, classes: int) -> list[Prompt]:
    """Exactly `count` single points spread over a photo, none on its border, with the classes in rotation.

    They form a golden-ratio lattice, which covers any photo evenly with any number of points.

    Args:
        size: height and width of the photo.
        count: of the points.
        classes: of the vocabulary.
    """
    steps = (np.arange(count) + 0.5) / count
    across = (np.arange(1, count + 1) * (5**0.5 - 1) / 2) % 1
    height, width = size
    points = np.stack([across * (width - 2) + 0.5, steps * (height - 2) + 0.5], axis=-1).astype(np.float32)
    return [
        Prompt(i % classes, points[i : i + 1], np.ones(1, np.int32), 1 - i / (2 * count), height * width // count)
        for i in range(count)
    ]


def prompts_to_json(prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
    """Prompts for another process; float32 values are kept exactly."""
    return [{**vars(prompt), "points": prompt.points.tolist(), "labels": prompt.labels.tolist()} for prompt in prompts]


def prompts_from_json(rows: Sequence[dict[str, Any]]) -> list[Prompt]:
    """Prompts from the rows of prompts_to_json."""
    return [
        Prompt(**{**row, "points": np.array(row["points"], np.float32), "labels": np.array(row["labels"], np.int32)})
        for row in rows
    ]


def random_tiles(count: int, classes: int, side: int) -> NDArray[np.float32]:
    """Similarities (count, classes, side, side) for the class map's stage; its time does not depend on the values."""
    return np.random.default_rng(0).uniform(0.1, 0.3, (count, classes, side, side)).astype(np.float32)


def repeated(windows: Photo, rows: int) -> Photo:
    """A batch of `rows` windows; those of the photo are repeated in their order."""
    return np.ascontiguousarray(windows[np.arange(rows) % len(windows)])
