"""What a side of the benchmark is told, and what it has to be able to do: wordmask and PyTorch answer to the same.

Imports no torch: wordmask's process has none.
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
# checks that the PyTorch pipeline does not make are left out of wordmask's side too
UNCHECKED = {"mask_pieces": "all", "min_score": 0.0, "across_words_iou": 1.0}


@dataclass(frozen=True)
class Setup:
    """What one side works with.

    Attributes:
        variant: wordmask, or a form of the PyTorch chain.
        bundle: folder.
        device: wordmask's, or torch's name of it.
        threads: cores that the side may use.
        vocabulary: the classes, and the background.
        options: of the chain.
        grid: points of a grid that take the place of each photo's own prompts; None leaves those.
        points: prompts of the decoder's stage.
        models: for the PyTorch side.
        upsampler_device, tensorrt_precision: as Segmenter's.
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
    """One of the contenders, loaded in a process of its own."""

    def windows(self, choice: Windows) -> None:
        """From now on a photo is one window, or as many as the bundle's protocol cuts."""
        ...

    def words(self, file: Path) -> None:
        """The vocabulary's embeddings: wordmask takes them from its cache and leaves a .npy file; others read that.

        Embedding is a stage by itself; the parity of a build holds the text towers together.
        """
        ...

    def photo(self, path: Path, prompts: Sequence[Prompt], out: Path) -> dict[str, float]:
        """From a photo's file to the written masks; gives seconds a stage. The prompts take the place of its own."""
        ...

    def folder(self, paths: Sequence[Path], prompts: Sequence[Sequence[Prompt]], out: Path) -> None:
        """The same of many photos, as one does it with many."""
        ...

    def stage(self, name: Stage, path: Path, rows: int) -> Callable[[], object]:
        """One stage on real inputs, from arrays on the host to arrays on the host; a call is a run.

        Args:
            name: of the stage.
            path: of the photo it works on.
            rows: windows in the batch; of no other stage's concern.
        """
        ...

    def answers(self, path: Path, prompts: Sequence[Prompt]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Class map before SAM2, u16 (H, W), coded as Segmentation.dense, and a mask a prompt, bool (N, H, W)."""
        ...


def one_window(constants: Clip) -> Clip:
    """The protocol changed so that one window covers any photo: its long side is made the window's, aspect kept."""
    return replace(constants, short_side=constants.window, long_side=constants.window)


def grid_prompts(size: tuple[int, int], count: int, classes: int) -> list[Prompt]:
    """Exactly `count` single points spread over a photo, none on its border, their classes in turn.

    A lattice of the golden ratio, so that any number covers any shape evenly; the same for both sides.

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
    """Prompts as they travel between processes; single precision survives."""
    return [{**vars(prompt), "points": prompt.points.tolist(), "labels": prompt.labels.tolist()} for prompt in prompts]


def prompts_from_json(rows: Sequence[dict[str, Any]]) -> list[Prompt]:
    """What prompts_to_json gave."""
    return [
        Prompt(**{**row, "points": np.array(row["points"], np.float32), "labels": np.array(row["labels"], np.int32)})
        for row in rows
    ]


def random_tiles(count: int, classes: int, side: int) -> NDArray[np.float32]:
    """Similarities (count, classes, side, side) for the class map's stage: its time does not hang on their values."""
    return np.random.default_rng(0).uniform(0.1, 0.3, (count, classes, side, side)).astype(np.float32)


def repeated(windows: Photo, rows: int) -> Photo:
    """As many windows as asked, the photo's in turn."""
    return np.ascontiguousarray(windows[np.arange(rows) % len(windows)])
