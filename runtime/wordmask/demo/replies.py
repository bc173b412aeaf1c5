"""Event handlers without Gradio: from the values of all controls to everything that the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.backends.memory import is_out_of_memory
from wordmask.demo.answers import (
    CLICK,
    HINT,
    alt_text,
    chosen_html,
    files,
    objects_html,
    picture,
    problem_html,
    summary_html,
    topmost,
    words_of,
)
from wordmask.demo.cached_segmenter import Workbench
from wordmask.errors import WordmaskError
from wordmask.formats.pictures import jpeg
from wordmask.types import Options

ENLARGED_TO = 1200  # pixels of the longer side, at most


@dataclass(frozen=True)
class Asked:
    """The controls' values, in the page's order.

    Attributes:
        photo: the uploaded file's path; None where there is none.
        words: as typed.
        min_confidence: this and the next three as in Options.
        min_region_size: pixels; 0 goes by the photo's size.
        iou_threshold: 0 to 1.
        use_loftup: whether to upsample with LoftUp.
        view: one of answers.VIEWS.
    """

    photo: str | None
    words: str
    min_confidence: float
    min_region_size: int
    iou_threshold: float
    use_loftup: bool
    view: str

    @property
    def options(self) -> Options:
        """The options of a run; ValueError for a number that does not fit."""
        return Options(
            use_loftup=self.use_loftup,
            min_confidence=self.min_confidence,
            min_region_size=self.min_region_size or None,
            iou_threshold=self.iou_threshold,
        )


@dataclass(frozen=True)
class Reply:
    """What the page shows.

    Attributes:
        picture: a JPEG of the photo's size, or of an integer multiple of it; None for none.
        summary: HTML, as the next two.
        chosen: the object that was clicked.
        objects: the list of them.
        alt: what the picture shows, as plain text.
        files: to download, by their names.
    """

    picture: bytes | None
    summary: str
    chosen: str = ""
    objects: str = ""
    alt: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


def reply(workbench: Workbench, asked: Asked, click: tuple[float, float] | None = None) -> Reply:
    """Answers a request.

    Args:
        workbench: segments.
        asked: the controls' values.
        click: x and y in pixels of the reply's picture, where it was clicked.

    Returns:
        What to show; if a photo or words cannot be used, a message.
    """
    if asked.photo is None:
        return Reply(None, HINT)
    path = Path(asked.photo)
    try:
        if not asked.words.strip():
            return Reply(_shown(workbench.photo(path)), HINT, alt=path.name)
        answer = workbench.segment(path, words_of(asked.words), asked.options)
    except (WordmaskError, ValueError) as error:
        text = str(error).replace(repr(str(path)), path.name)  # the server's path is private
        return Reply(None, problem_html(text))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Reply(None, problem_html("there is not enough memory for this photo: take a smaller one"))
    chosen, details = None, CLICK
    if click is not None:
        x, y = _pixel(click, answer.photo.shape)
        chosen = topmost(answer.result, x, y)
        details = chosen_html(answer.result, chosen, x, y)
    return Reply(
        _shown(picture(answer, asked.view, chosen)),
        summary_html(answer, asked.options),
        details,
        objects_html(answer.result),
        alt_text(answer, path.name, asked.view, chosen),
        files(answer, path.name, path.stem),
    )


def _shown(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as JPEG. Gradio enlarges none, so that small ones are enlarged here."""
    factor = _factor(pixels.shape)
    return jpeg(np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8))


def _factor(shape: tuple[int, ...]) -> int:
    return max(1, ENLARGED_TO // max(shape[:2]))


def _pixel(click: tuple[float, float], shape: tuple[int, ...]) -> tuple[int, int]:
    """The pixel of a photo that was clicked in what is shown: browsers round, also beyond the edge."""
    x, y = (int(position) // _factor(shape) for position in click)
    return min(max(x, 0), shape[1] - 1), min(max(y, 0), shape[0] - 1)
