"""The choices for one photo, each described once: for the library, the command line, Triton, the demo and run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal


@dataclass(frozen=True)
class OptionInfo:
    """A field of Options for the command line and the demo.

    Attributes:
        help: for the command line.
        class_map: whether the class map depends on it; if not, only the prompts or masks do.
        choices: the allowed values; empty allows any.
        least: the smallest allowed number. most: the largest one.
        aliases: further names of the command line's option.
        off: the command line's option that sets it to False, and its help.
    """

    help: str
    class_map: bool = False
    choices: tuple[str | None, ...] = ()
    least: int | None = None
    most: int | None = None
    aliases: tuple[str, ...] = ()
    off: tuple[str, str] | None = None

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError if the value is not allowed."""
        if value is None and not self.choices:
            return  # chosen elsewhere
        if self.choices and value not in self.choices:
            raise ValueError(f"{name} is {value!r}: it must be {' or '.join(map(str, self.choices))}")
        if self.least is not None and not isinstance(value, Real):
            raise ValueError(f"{name} is {value!r}: it must be a number")
        if self.least is not None and self.most is not None and not self.least <= value <= self.most:
            raise ValueError(f"{name} is {value}: it must lie between {self.least} and {self.most}")
        if self.least is not None and value < self.least:
            raise ValueError(f"{name} is {value}: it must be at least {self.least}")


@dataclass(frozen=True)
class Options:
    """What a caller may choose for one photo. The defaults are those of the command line.

    Attributes:
        use_loftup: upsample the features with LoftUp; False resizes the patch logits bilinearly. None takes LoftUp
            where the bundle has it.
        upsample: `full` evaluates LoftUp at every pixel, `selective` only on tiles where the bilinear map is undecided
            (on all where it is undecided in a third of the pixels).
            None is selective on a processor, and full on a GPU.
        upsample_scope: LoftUp works on every `window`, or once on the whole `image`.
        stride: step between the windows that CLIP sees, in pixels, from an eighth of their side to all of it. A smaller
            one takes more windows, and time by its square. None takes the bundle's.
        min_confidence: a pixel belongs to a region if the probability of its class is above this (0 to 1).
        min_region_size: smallest region that gets a prompt, in pixels of the photo. None takes 100, or on a small photo
            as many as 23 pixels at the size at which CLIP sees it.
        iou_threshold: of two masks of one class with a larger IoU, the one of the lower score is dropped.
        across_words_iou: the same of two masks of different classes; 1 keeps both.
        min_score: a mask with a lower score (see Instance) is dropped; 0 keeps all.
        mask_pieces: of a mask in several pieces, `prompted` keeps those that a positive point of its prompt touches,
            `all` keeps all.
        mask_choice: which of SAM2's four masks for a prompt is taken: the one that `sam2` itself would take, or the one
            that fits the prompt's `region` of the class map (see wordmask.objects.mask_choice).
        points_per_region: positive points a region; the second and later ones are spread farthest first.
        negative_points: points a region taken from other classes' confident pixels.
        negative_min_confidence: confidence such a pixel needs.
        boxes: add the region's bounding box to its prompt.
        mask_prompts: give SAM2 the region too, as the mask of its prompt. None does so where the bundle has the graph
            `sam2_mask_decoder`.
        pamr: refine the class map by the photo's colours (see wordmask.dense.pamr); seconds a photo.
    """

    use_loftup: bool | None = None
    upsample: Literal["full", "selective"] | None = None
    upsample_scope: Literal["window", "image"] = "window"
    stride: int | None = None
    min_confidence: float = 0.7
    min_region_size: int | None = None
    iou_threshold: float = 0.8
    across_words_iou: float = 0.5
    min_score: float = 0.26
    mask_pieces: Literal["prompted", "all"] = "prompted"
    mask_choice: Literal["sam2", "region"] = "sam2"
    points_per_region: int = 1
    negative_points: int = 0
    negative_min_confidence: float = 0.8
    boxes: bool = False
    mask_prompts: bool | None = None
    pamr: bool = False

    def __post_init__(self) -> None:
        for name, (_, info) in OPTIONS.items():
            info.check(name, getattr(self, name))


_INFOS = {
    "use_loftup": OptionInfo(
        "upsample CLIP's features with LoftUp, and fail if the bundle has none (default: if the bundle has it)",
        class_map=True,
        off=("--no-loftup", "resize CLIP's patch logits bilinearly instead"),
    ),
    "upsample": OptionInfo(
        "evaluate LoftUp at every pixel, or only on tiles where the bilinear class map is undecided "
        "(default: selective on a CPU, full on a GPU)",
        class_map=True,
        choices=(None, "full", "selective"),
    ),
    "upsample_scope": OptionInfo(
        "apply LoftUp to each sliding window, or once to the whole photo", class_map=True, choices=("window", "image")
    ),
    "stride": OptionInfo(
        "step between windows in pixels; a smaller one takes more windows, and time (default: the bundle's)",
        class_map=True,
        least=1,
    ),
    "min_confidence": OptionInfo("a region holds the pixels whose class probability is above this", least=0, most=1),
    "min_region_size": OptionInfo(
        "smallest region that gets a prompt, in pixels (default: 100; fewer on small photos)",
        least=1,
    ),
    "iou_threshold": OptionInfo("of two masks of a class with a higher IoU, drop the lower score", least=0, most=1),
    "across_words_iou": OptionInfo(
        "of two masks of different classes with a higher IoU, drop the lower score; 1 keeps both", least=0, most=1
    ),
    "min_score": OptionInfo("drop masks with a lower score, agreement x SAM2's IoU estimate", least=0, most=1),
    "mask_pieces": OptionInfo(
        "of a mask in several pieces, keep those that the prompt's points touch, or all", choices=("prompted", "all")
    ),
    "mask_choice": OptionInfo(
        "of SAM2's four masks for a prompt, take the one SAM2 would, or the one that fits the region of the class map",
        choices=("sam2", "region"),
    ),
    "points_per_region": OptionInfo("positive points per prompt", least=1, aliases=("--points-per-cluster",)),
    "negative_points": OptionInfo(
        "negative points per prompt, on pixels of other classes", least=0, aliases=("--negative-points-per-cluster",)
    ),
    "negative_min_confidence": OptionInfo(
        "smallest class probability of a negative point's pixel",
        least=0,
        most=1,
        aliases=("--negative-confidence-threshold",),
    ),
    "boxes": OptionInfo("add the region's bounding box to each prompt"),
    "mask_prompts": OptionInfo(
        "give SAM2 the region of each prompt too, as a mask beside the points (default: if the bundle has the graph)",
        off=("--no-mask-prompts", "give it the points alone"),
    ),
    "pamr": OptionInfo("refine the class map with PAMR, by the photo's colours; seconds per photo", class_map=True),
}
OPTIONS: dict[str, tuple[Any, OptionInfo]] = {each.name: (each.default, _INFOS[each.name]) for each in fields(Options)}
# Neither class maps nor encodings depend on these: `wordmask run --reuse` goes on from those of a run with others.
REUSE_MAY_DIFFER = (
    *(name for name, (_, info) in OPTIONS.items() if not info.class_map),
    *("overlay", "save_dense", "report"),
)


def with_choices(options: Options | None, choices: Mapping[str, Any]) -> Options:
    """Options, the default ones for None, with other values for some.

    Args:
        options: to start from.
        choices: values by the names of Options' fields.

    Raises:
        TypeError: an option has no such name; the message names the nearest.
        ValueError: a value is not allowed.
    """
    for name in choices:
        if name not in OPTIONS:
            import difflib  # noqa: PLC0415 - the command line's --help does not need it

            nearest = difflib.get_close_matches(name, OPTIONS, 1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"the options are {', '.join(OPTIONS)}"
            raise TypeError(f"there is no option {name!r}: {hint}")
    return replace(options or Options(), **choices)
