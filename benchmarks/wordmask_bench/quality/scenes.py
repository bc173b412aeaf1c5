"""Quality of a bundle on held-out synthetic scenes, measured with the runtime."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask import resize
from wordmask.dense.windows import with_stride
from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options, Prompt, Segmentation
from wordmask_bench.machine.markdown import markdown_table
from wordmask_bench.quality.metrics import Confusion, boundary, deepest_point, iou, is_small, mean, without_nan
from wordmask_bench.quality.objects import OBJECT_ROWS, SIZES, ObjectTally, by_size
from wordmask_bench.quality.seams import NEAR, SeamTally, near_borders
from wordmask_bench.quality.worlds import PATTERNS, World
from wordmask_bench.scenes import Scene

FIRST_SEED = 1_000_000  # training uses scenes of the combinations "train" only
OTHER_WORDS = 12  # in the vocabulary beside the scene's own words
BAND = 3  # pixels on either side of an outline
GRID = 1024  # prompts of SAM2's automatic mask generator, 32 x 32

WORDS = PATTERNS.classes
MAPS = ("bilinear", "loftup", "masks", "over")
TITLES = ("bilinear", "LoftUp", "labelled masks", "masks over LoftUp")

ROWS = {
    "miou": "mIoU",
    "miou_objects": "mIoU of objects' words",
    "miou_unseen": "mIoU of words never trained",
    "miou_band": "mIoU within 3 px of an outline",
    "accuracy": "pixels right",
    "small_found": "objects under 24 px found",
}


@dataclass
class Tally:
    """Counts of one kind of map over all scenes: confusion everywhere and near outlines, small objects found."""

    world: World = PATTERNS
    small: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.everywhere, self.band = (Confusion(len(self.world.classes)) for _ in range(2))

    def add(self, scene: Scene, found: NDArray[np.int64]) -> None:
        """Adds a scene's map (H, W): index into the world's classes, or its `none` for no word."""
        self.everywhere.add(scene.class_map, found)
        self.band.add(scene.class_map, found, boundary(scene.class_map, BAND))
        self.small += [
            float((found[thing.mask] == thing.class_index).mean()) >= 0.5
            for thing in scene.instances
            if is_small(thing.box)
        ]

    def figures(self) -> dict[str, float]:
        """The figures of ROWS: mean IoU of groups of words, accuracy, and the share of small objects found."""
        per_word = self.everywhere.iou()
        objects = np.arange(len(per_word)) < self.world.objects
        return {
            "miou": mean(per_word),
            "miou_objects": mean(per_word[objects]),
            "miou_unseen": mean(per_word[[word in self.world.never_trained for word in self.world.classes]]),
            "miou_band": mean(self.band.iou()),
            "accuracy": self.everywhere.accuracy(),
            "small_found": float(np.mean(self.small)) if self.small else float("nan"),
        }


@dataclass(frozen=True)
class SceneReport:
    """Quality of a bundle on synthetic scenes.

    Attributes:
        maps: figures of each of MAPS, see Tally.figures; `over` has the masks painted over LoftUp's class map.
        objects: see wordmask_bench.quality.objects.
        seam: LoftUp's error rate near the borders of CLIP's windows over that elsewhere, see quality.seams.
        seam_adjusted: the same over what it would be there for pixels as easy as elsewhere.
        click: mean IoU of SAM2's mask for one click on each object, at the point farthest from its outline.
        click_by_area: the same by COCO's sizes: under 32 x 32 pixels, under 96 x 96, and larger.
        prompts: mean number per scene.
        prompts_saved: how many fewer these are than a grid of 1024 points, as a share.
        seconds: median time per scene, from words to masks.
        scenes: number of scenes.
    """

    maps: dict[str, dict[str, float]]
    objects: dict[str, float]
    seam: float
    seam_adjusted: float
    click: float
    click_by_area: dict[str, float]
    prompts: float
    prompts_saved: float
    seconds: float
    scenes: int


@dataclass(frozen=True, eq=False)
class _Found:
    scene: Scene
    maps: dict[str, NDArray[np.int64]]
    result: Segmentation
    class_of: NDArray[np.int64]
    near_borders: NDArray[np.bool_]
    clicks: list[float]
    seconds: float


def evaluate(
    segmenter: Segmenter,
    seeds: Sequence[int],
    *,
    world: World = PATTERNS,
    options: Options | None = None,
    all_words: bool = False,
    workers: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> SceneReport:
    """Segments one scene per seed with a vocabulary of its own words and 12 others, and the world's background words.

    Args:
        segmenter: of a bundle that has LoftUp; best made with threads=1 if there are several workers.
        seeds: of the scenes.
        world: the kind of the scenes.
        options: thresholds and prompts; by default those of `run`.
        all_words: the vocabulary is all words that scenes can have.
        workers: scenes at the same time.
        progress: called after each scene.
    """
    options = replace(options or Options(), use_loftup=True)
    tallies, objects = {name: Tally(world) for name in MAPS}, ObjectTally()
    seams = SeamTally(len(world.classes))
    areas, clicks, prompts, seconds = list[int](), list[float](), list[int](), list[float]()
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(lambda seed: _segment(segmenter, seed, world, options, all_words), seeds):
            for name, tally in tallies.items():
                tally.add(found.scene, found.maps[name])
            seams.add(found.scene.class_map, found.maps["loftup"], found.near_borders)
            areas += [int(np.count_nonzero(thing.mask)) for thing in found.scene.instances]
            clicks += found.clicks
            objects.add(found.scene, found.result.instances, found.class_of)
            prompts.append(found.result.prompt_count)
            seconds.append(found.seconds)
            progress()
    return SceneReport(
        maps={name: tally.figures() for name, tally in tallies.items()},
        objects=objects.figures(),
        seam=seams.ratio(),
        seam_adjusted=seams.adjusted(),
        click=float(np.mean(clicks)),
        click_by_area=by_size(areas, clicks),
        prompts=float(np.mean(prompts)),
        prompts_saved=1 - float(np.mean(prompts)) / GRID,
        seconds=float(np.median(seconds)),
        scenes=len(seconds),
    )


def scene_words(scene: Scene, seed: int, world: World = PATTERNS) -> list[str]:
    """The vocabulary for a scene: its own words, then OTHER_WORDS others."""
    others = [word for word in world.words if word not in scene.words]
    rng = np.random.default_rng(seed)
    return [*scene.words, *rng.choice(others, OTHER_WORDS, replace=False).tolist()]


def _segment(segmenter: Segmenter, seed: int, world: World, options: Options, all_words: bool) -> _Found:
    scene = world.draw(seed)
    words = list(world.words) if all_words else scene_words(scene, seed, world)
    queries = segmenter.embed(Vocabulary.parse(words, world.background))
    start = time.perf_counter()
    full = segmenter.segment(scene.image, queries, options)
    seconds = time.perf_counter() - start
    plain = segmenter.class_map(scene.image, queries, replace(options, use_loftup=False))
    # class of 0 (no word), 1 (the first word), ..., and of the background, which a class map has as the last
    names = np.array([world.none, *(world.classes.index(word) for word in words), world.none])
    maps = {
        "bilinear": names[plain.index + 1],
        "loftup": names[full.dense],
        "masks": names[full.semantic],
        "over": names[np.where(full.semantic > 0, full.semantic, full.dense)],
    }
    constants = with_stride(segmenter.manifest.clip, options.stride)
    near = near_borders((scene.image.shape[0], scene.image.shape[1]), constants)
    return _Found(scene, maps, full, names[1:-1], near, click_ious(segmenter, scene), seconds)


def click_ious(segmenter: Segmenter, scene: Scene) -> list[float]:
    """IoU of each object with SAM2's mask for one click at the point farthest from its outline."""
    prompts = [
        Prompt(
            class_index=thing.class_index,
            points=np.array([deepest_point(thing.mask)], np.float32),
            labels=np.ones(1, np.int32),
            confidence=1.0,
            region_size=int(np.count_nonzero(thing.mask)),
        )
        for thing in scene.instances
    ]
    low_res, _ = segmenter.decode(segmenter.encode(scene.image), prompts)
    size = (scene.image.shape[0], scene.image.shape[1])
    threshold = segmenter.manifest.sam2.mask_threshold
    return [
        iou(resize.bilinear(logits, size) > threshold, thing.mask)
        for logits, thing in zip(low_res, scene.instances, strict=True)
    ]


def to_dict(report: SceneReport) -> dict[str, Any]:
    """The figures for JSON; those that do not exist are null."""
    row: dict[str, Any] = without_nan(dataclasses.asdict(report))
    return row


def table(report: SceneReport) -> str:
    """The figures as Markdown."""
    figures = {name: [report.maps[kind][key] for kind in MAPS] for key, name in ROWS.items()}
    rows = [(name, *(f"{value:.3f}" for value in row)) for name, row in figures.items() if not np.isnan(row).all()]
    lines = markdown_table((f"{report.scenes} scenes", *TITLES), rows)
    found = [(name, f"{report.objects[key]:.3g}") for key, name in OBJECT_ROWS.items()]
    lines = [*lines, "", *markdown_table(("objects", ""), found)]
    by_area = ", ".join(f"{name} {value:.3f}" for name, value in report.click_by_area.items())
    by_size = "; ".join(
        f"at IoU 0.{limit} " + ", ".join(f"{name} {report.objects[f'found_{limit}_{name}']:.3f}" for name in SIZES)
        for limit in (50, 75)
    )
    lines += [
        "",
        f"Objects found {by_size}",
        f"LoftUp's errors within {NEAR} pixels of a window's border: {report.seam:.2f} times those elsewhere, "
        f"{report.seam_adjusted:.2f} times those elsewhere of such pixels (of the word, as near to outlines)",
        f"One click in each object: mean IoU {report.click:.3f} ({by_area})",
        f"Prompts a scene: {report.prompts:.1f}, {report.prompts_saved:.1%} fewer than a grid of 1024 points",
        f"Median time of a scene: {report.seconds:.2f} s",
    ]
    return "\n".join(lines)
