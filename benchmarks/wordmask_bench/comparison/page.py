"""A comparison as one HTML page with embedded images: sliders between bilinear upsampling and LoftUp."""

from __future__ import annotations

import base64
from collections import Counter
from html import escape

import cv2
import numpy as np
from PIL import Image

from wordmask.formats.pictures import encode
from wordmask.formats.word_colours import hex_colour, word_colours
from wordmask.report.charts import Bar, bars
from wordmask.report.page import asset, masthead, page, section, slider, table
from wordmask_bench.comparison.compare import METRICS_HEAD, REACH, SMALL, Comparison
from wordmask_bench.comparison.pictures import Picture, marked, pictures

SIDE = 1000  # largest longer side of an image, pixels
BAND = (
    f"The uncertain band: pixels at most {REACH} from a border between words that are not sure enough to belong to a "
    "region, over the length of all borders. The narrower, the sharper the borders."
)
ABOUT = {
    "class map": "The most probable word of every pixel, before SAM2; borders are white.",
    "confidence": "The probability of that word: dark is undecided, bright is sure.",
    "masks and prompts": "What SAM2 makes of the points that the class map gives it.",
}


def comparison_page(comparison: Comparison, name: str, *, warning: str = "") -> bytes:
    """The page as HTML.

    Args:
        comparison: to show.
        name: of the photo.
        warning: about the models; empty for none.
    """
    before, after = comparison.before, comparison.after
    sides = pictures(comparison, before), pictures(comparison, after)
    sliders = []
    for what, meaning in ABOUT.items():
        first, second = (_uri(side[what]) for side in sides)
        drawn = slider(first, second, names=(before.name, after.name), about=f"{name}, {what}")
        sliders.append(section(what.capitalize(), [f'<p class="soft">{escape(meaning)}</p>', drawn]))
    height, width = comparison.photo.shape[:2]
    body = [
        masthead("Bilinear and LoftUp", f"{name}, {width} × {height} pixels", warning=warning),
        "<main>\n",
        section(
            "In figures",
            [table(METRICS_HEAD, comparison.metrics(), text_columns=2), f'<p class="soft">{escape(BAND)}</p>'],
        ),
        '<div class="pair">\n',
        *sliders,
        section(
            "Where they differ",
            [
                f'<p class="soft">{comparison.disagreement:.2%} of the pixels have another word.</p>',
                f'<div class="frame"><img src="{_uri(marked(comparison.photo, comparison.differs))}" '
                f'alt="{escape(name)}, pixels of another word in red"></div>',
            ],
        ),
        section("Masks a word", [_words(comparison)]),
        section("Regions", [f'<p class="soft">Small ones have fewer than {SMALL} pixels.</p>', _regions(comparison)]),
        "</div></main>\n",
    ]
    title = f"wordmask compare: {name}"
    return page(
        title, "".join(body), styles=[asset("compare.css", "wordmask_bench.comparison")], scripts=[asset("slider.js")]
    )


def _uri(picture: Picture) -> str:
    scale = min(1.0, SIDE / max(picture.shape[:2]))
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    content = encode(Image.fromarray(picture), "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _words(comparison: Comparison) -> str:
    sides = comparison.before, comparison.after
    counts = [Counter(instance.class_index for instance in side.result.instances) for side in sides]
    most = max((count for side in counts for count in side.values()), default=1)
    colours, charts = word_colours(comparison.after.result.words), []
    for side, found in zip(sides, counts, strict=True):
        rows = [
            Bar(word, ((hex_colour(colour), found[i]),), f"{found[i]}")
            for i, (word, colour) in enumerate(zip(side.result.words, colours, strict=True))
            if any(each[i] for each in counts)
        ]
        charts.append(bars(rows, caption=side.name, most=most))
    return "".join(charts)


def _regions(comparison: Comparison) -> str:
    rows = []
    for side in (comparison.before, comparison.after):
        parts = (("phase3", side.small_regions), ("ours", len(side.regions) - side.small_regions))
        rows.append(Bar(side.name, parts, f"{len(side.regions)}", f"{side.small_regions} small"))
    return bars(rows)
