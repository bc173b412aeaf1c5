"""Texts, pictures and files of the page: pure functions of its controls and a segmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import rle
from wordmask.demo.cached_segmenter import Answer
from wordmask.errors import VocabularyError
from wordmask.formats.coco import coco_photo_document
from wordmask.formats.explanation import best_words
from wordmask.formats.overlay import draw
from wordmask.formats.pictures import jpeg, label_png
from wordmask.formats.word_colours import class_map_colours, hex_colour, word_colours
from wordmask.types import Instance, Options, Segmentation

VIEWS = ("masks", "class map", "photo")
MOST_WORDS = 200
MOST_LISTED = 50  # objects
MOST_TOLD = 10  # objects, in the alternative text
HINT = "<p>Drop a photo and type the words to look for, or take an example.</p>"
CLICK = "<p>Click an object to see its prompt, word and score.</p>"
_KINDS = {0: "outside", 1: "inside", 2: "box, top left", 3: "box, bottom right"}


def words_of(text: str) -> list[str]:
    """The words of a text: one a line, or between commas.

    Raises:
        VocabularyError: none, or more than MOST_WORDS.
    """
    words = [word.strip() for word in re.split(r"[\n,]", text) if word.strip()]
    if not words:
        raise VocabularyError("there are no words: type what to look for, one a line or with commas between")
    if len(words) > MOST_WORDS:
        raise VocabularyError(f"there are {len(words)} words, expected at most {MOST_WORDS}: `wordmask run` takes more")
    return words


def topmost(result: Segmentation, x: int, y: int) -> Instance | None:
    """The object on top at a pixel: the one of highest score among those whose masks contain it."""
    for instance in result.instances:  # in falling score
        x0, y0, x1, y1 = instance.box
        inside = x0 <= x < x1 and y0 <= y < y1
        if inside and rle.decode_box(instance.mask, (x, y, x + 1, y + 1)).item():
            return instance
    return None


def picture(answer: Answer, view: str, chosen: Instance | None = None) -> NDArray[np.uint8]:
    """What one of the VIEWS shows, u8 (H, W, 3): of the masks the chosen one alone, if one is chosen."""
    if view == "photo":
        return answer.photo
    if view == "class map":
        return _class_map(answer)
    instances = answer.result.instances if chosen is None else (chosen,)
    return draw(answer.photo, replace(answer.result, instances=instances))


def _class_map(answer: Answer) -> NDArray[np.uint8]:
    """The class map before SAM2 laid over the grey photo, in the masks' colours."""
    labels = answer.result.dense
    grey = cv2.cvtColor(cv2.cvtColor(answer.photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = class_map_colours(answer.result.words)[labels]  # (H, W, 3)
    tinted = cv2.addWeighted(grey, 0.4, colours, 0.6, 0)
    return np.where(labels[..., None] > 0, tinted, grey).astype(np.uint8, copy=False)


def files(answer: Answer, name: str, stem: str) -> Mapping[str, bytes]:
    """The files to download, by name, as a run writes them: COCO annotations, the label map and the overlay."""
    result = answer.result
    return {
        f"{stem}.json": coco_photo_document(name, result),
        f"{stem}.png": label_png(result.semantic, len(result.words)),
        f"{stem}_overlay.jpg": jpeg(picture(answer, "masks")),
    }


def summary_html(answer: Answer, options: Options) -> str:
    """The number of masks and the seconds they took, or why there are none; and the decoder's notes."""
    result = answer.result
    if result.instances:
        found = f"<b>{_count(len(result.instances), 'mask')}</b> from {_count(result.prompt_count, 'prompt')}"
        stages = ((stage.replace("_", " "), seconds) for stage, seconds in answer.seconds.items())
        times = " · ".join(f"{escape(stage)} {seconds:.2f} s" for stage, seconds in stages if seconds >= 0.005)
        lines = [f"{found}<small>{times or 'kept from before'}</small>"]
    else:
        asked = f"no word has a region above {options.min_confidence:g} that is large enough"
        if result.prompt_count:
            asked = f"no mask has a score of {options.min_score:g}"
        lines = [f"<b>Nothing found</b>: {asked}.<small>most confident: {escape(best_words(result))}</small>"]
    return "".join(f"<p>{line}</p>" for line in (*lines, *map(escape, answer.notes)))


def objects_html(result: Segmentation) -> str:
    """The objects in falling score: each word in its colour, with its score."""
    if not result.instances:
        return ""
    colours = word_colours(result.words)
    rows = "".join(
        f'<li><i style="background: {hex_colour(colours[each.class_index])}"></i><span>{escape(each.word)}</span>'
        f"<b>{each.score:.2f}</b></li>"
        for each in result.instances[:MOST_LISTED]
    )
    more = len(result.instances) - MOST_LISTED
    return f"<h3>Objects and their scores</h3><ol>{rows}</ol>{f'<p>and {more} more</p>' if more > 0 else ''}"


def alt_text(answer: Answer, name: str, view: str, chosen: Instance | None = None) -> str:
    """What the picture shows, for people who do not see it."""
    if view != VIEWS[0]:
        return f"{name}, {view}"
    shown = answer.result.instances if chosen is None else (chosen,)
    told = [f"{each.word} {each.score:.2f}" for each in shown[:MOST_TOLD]]
    more = [f"{len(shown) - MOST_TOLD} more"] if len(shown) > MOST_TOLD else []
    return f"{name} with {_count(len(shown), 'mask')}{': ' if shown else ''}{', '.join([*told, *more])}"


def head_html(notice: str | None) -> str:
    """The page's title, and what its readers should know of the bundle."""
    return f"<h1>wordmask</h1>{f'<p>{escape(notice)}</p>' if notice else ''}"


def problem_html(text: str) -> str:
    """An error that the user can mend, as HTML."""
    return f'<p class="problem" role="alert">{escape(text)}</p>'


def chosen_html(result: Segmentation, instance: Instance | None, x: int, y: int) -> str:
    """What is known at a pixel that was clicked: the object's word, score and prompt, if one is there."""
    label, confidence = int(result.dense[y, x]), float(result.confidence[y, x])
    word = result.words[label - 1] if label else "none of the words"
    here = f"{word}, {confidence:.2f}"
    if instance is None:
        return f"<p>No object here. Class map: {escape(here)}</p>"
    x0, y0, x1, y1 = instance.box
    points = zip(instance.points.tolist(), instance.labels.tolist(), strict=True)
    rows = {
        "score": f"{instance.score:.3f} = {instance.agreement:.3f} (agreement) × {instance.sam_iou:.3f} (SAM2)",
        "region": f"{instance.clip_confidence:.3f} (CLIP)",
        "prompt": ", ".join(f"({x:.0f}, {y:.0f}) {_KINDS[label]}" for (x, y), label in points),
        "box": f"({x0}, {y0}) to ({x1}, {y1})",
        "area": f"{instance.area:,} pixels",
        "class map": here,
    }
    cells = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    swatch = f'<i style="background: {hex_colour(word_colours(result.words)[instance.class_index])}"></i>'
    return f'<article class="object"><h3>{swatch}{escape(instance.word)}</h3><dl>{cells}</dl></article>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
