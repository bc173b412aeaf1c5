"""report.html: totals and charts, failures, and a gallery whose photos open in a viewer (see report.js)."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from wordmask.bundle.domains import WARNINGS
from wordmask.formats.word_colours import hex_colour, letters_on, word_colours
from wordmask.outputs.rows import DoneRow, FailedRow
from wordmask.report.charts import Bar, bars, histogram
from wordmask.report.data import ReportPhoto, Run
from wordmask.report.page import asset, bullets, cards, masthead, page, section, table

ROW_FIELDS = ("name", "photo", "status", "error", "notes", "seconds", "prompts")  # that the viewer shows
COLUMNS = 20  # of the histogram of scores
FIRST_WORDS = 14  # bars that are shown at once
STATES = {"all": "all photos", "found": "with objects", "empty": "nothing found", "failed": "failed"}
ORDERS = {
    "failed": "failed first",
    "run": "in the run's order",
    "many": "most objects first",
    "sure": "best score first",
    "unsure": "worst first",
}


def report_page(run: Run) -> bytes:
    """The whole page."""
    bundle = run.record.bundle
    models = ", ".join(bundle.models.values()) or bundle.id
    device = run.record.settings.get("device")
    made = f"{models} on {device}" if device else models
    subtitle = f"{_number(len(run.photos), 'photo')}, {_number(len(run.words), 'word')}. {made}."
    body = [
        masthead("wordmask run", subtitle, warning=WARNINGS.get(bundle.domain, "")),
        "<main>\n",
        _totals(run),
        section("Photos that failed", [_failures(run)] if any(photo.failed for photo in run.photos) else []),
        f'<div class="charts">{_words(run)}<div>{_scores(run)}{_stages(run)}</div></div>\n',
        _gallery(run),
        section("How it was made", [f"<details><summary>Settings</summary>{bullets(_settings(run))}</details>"]),
        "</main>\n",
        asset("viewer.html"),
    ]
    return page(
        "wordmask run",
        "".join(body),
        styles=[asset("report.css")],
        scripts=[asset("slider.js"), asset("report.js")],
        data=_data(run),
        images="'self' file:",
    )


def _totals(run: Run) -> str:
    totals = run.record.totals
    empty = sum(not photo.failed and not photo.objects for photo in run.photos)
    facts: list[tuple[str, str, Sequence[str]]] = [
        (f"{totals.done:,}", "photos done", ()),
        (f"{totals.photos - totals.done:,}", "failed", ()),
        (f"{empty:,}", "with nothing found", ()),
        (f"{totals.instances:,}", "objects", ()),
        (f"{run.record.prompts_per_image:g}", "prompts a photo", ()),
    ]
    if totals.images_per_second:  # a run that found all done has none
        facts.append((f"{totals.images_per_second:.3g}", "photos a second", ()))
    return cards(facts)


def _words(run: Run) -> str:
    counts = Counter(found.class_index for photo in run.photos for found in photo.objects)
    ranked = sorted(range(len(run.words)), key=lambda i: (-counts[i], i))
    photos = Counter(i for photo in run.photos for i in {found.class_index for found in photo.objects})
    colours = word_colours(run.words)
    rows = [
        Bar(run.words[i], ((hex_colour(colours[i]), counts[i]),), f"{counts[i]:,}", f"in {_number(photos[i], 'photo')}")
        for i in ranked
    ]
    first, left = rows[:FIRST_WORDS], rows[FIRST_WORDS:]
    more = f"<details><summary>{len(left)} more</summary>{bars(left, most=rows[0].value)}</details>\n"
    return section("Objects a word", [bars(first), more if left else ""])


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _scores(run: Run) -> str:
    scores = [found.score for photo in run.photos for found in photo.objects]
    counts = [0] * COLUMNS
    for score in scores:
        counts[min(max(int(score * COLUMNS), 0), COLUMNS - 1)] += 1
    caption = "Score: agreement with the class map times SAM2's estimate of the mask's IoU"
    chart = histogram(counts, first=0.0, last=1.0, of="objects")
    return section("Scores", [f"<figure><figcaption>{escape(caption)}</figcaption>{chart}</figure>"] if scores else [])


def _stages(run: Run) -> str:
    seconds: dict[str, list[float]] = {}
    for photo in run.photos:
        if isinstance(photo.row, DoneRow):
            for stage, value in photo.row.seconds.items():
                seconds.setdefault(stage, []).append(value)
    medians = sorted(((statistics.median(values), stage) for stage, values in seconds.items()), reverse=True)
    rows = [
        Bar(stage.replace("_", " "), (("ours", median),), _duration(median), f"most {_duration(max(seconds[stage]))}")
        for median, stage in medians
    ]
    return section("Stages", [bars(rows, caption="Median a photo. SAM2's encoder works beside the other stages")])


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _failures(run: Run) -> str:
    failed = [photo.row for photo in run.photos if isinstance(photo.row, FailedRow)]
    counts = Counter(row.status for row in failed)
    summary = bars([Bar(code, (("theirs", float(count)),), f"{count:,}") for code, count in counts.most_common()])
    rows = [(row.status, row.photo, row.error) for row in failed]
    content = table(("code", "photo", "what was the matter"), rows, text_columns=3)
    shown = " open" if len(rows) <= 5 else ""
    listed = f"<details{shown}><summary>All of them</summary>{content}</details>\n"
    return f'<div class="codes">{summary}</div>{listed}'


def _gallery(run: Run) -> str:
    counts = Counter(found.class_index for photo in run.photos for found in photo.objects)
    words = [("", "any word"), *((str(i), f"{word} ({counts[i]:,})") for i, word in enumerate(run.words))]
    controls = [
        _choice("word", "Word", words),
        '<label>Least score <span class="with-output"><input type="range" id="score" min="0" max="1" step="0.01" '
        'value="0"><output id="least" for="score">0.00</output></span></label>\n',
        _choice("state", "Show", STATES.items()),
        _choice("order", "Sort", ORDERS.items()),
        '<label>Name <input type="search" id="name" placeholder="part of a name"></label>\n',
    ]
    shown = "".join(_card(number, photo, run.words) for number, photo in enumerate(run.photos))
    return (
        '<section><h2>Photos <output id="count" class="soft"></output></h2>\n'
        f'<form class="filters" id="filters">{"".join(controls)}</form>\n'
        f'<div class="gallery" id="gallery">\n{shown}</div>\n'
        '<p id="none" hidden>No photo is left. <button type="button" id="all">Show all</button></p></section>\n'
    )


def _choice(name: str, label: str, options: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{escape(label)} <select id="{name}">{inner}</select></label>\n'


def _card(number: int, photo: ReportPhoto, words: Sequence[str]) -> str:
    name = escape(photo.row.name)
    counts = Counter(words[found.class_index] for found in photo.objects)
    found_words = (
        ", ".join(f"{count} {word}" if count > 1 else word for word, count in counts.items()) or "nothing found"
    )
    kind = "card-photo failed" if photo.failed else "card-photo"
    if "thumbs" in photo.pictures:
        picture = f'<img src="{escape(photo.pictures["thumbs"])}" alt="" loading="lazy" decoding="async">'
    else:
        picture = f'<span class="blank">{escape(photo.row.status if photo.failed else "no picture")}</span>'
    note = photo.row.error if isinstance(photo.row, FailedRow) else found_words
    return (
        f'<a class="{kind}" href="#photo-{number + 1}">{picture}<b title="{name}">{name}</b>'
        f"<small>{escape(note)}</small></a>\n"
    )


def _settings(run: Run) -> Iterator[str]:
    yield f"bundle: {run.record.bundle.id} ({run.record.bundle.precision})"
    for name, value in run.record.settings.items():
        if name != "photos":
            shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
            yield f"{name.replace('_', ' ')}: {shown}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " / ".join(map(str, value))
    return {"None": "default", "True": "yes", "False": "no"}.get(str(value), str(value))


def _data(run: Run) -> Iterator[Any]:
    """First what the filters need of all photos, then a value a photo for the viewer."""
    yield {
        "words": run.words,
        "colours": [[hex_colour(colour), hex_colour(letters_on(colour))] for colour in word_colours(run.words)],
        "photos": [
            [int(photo.failed), [value for found in photo.objects for value in (found.class_index, found.score)]]
            for photo in run.photos
        ],
    }
    for photo in run.photos:
        yield {
            **{key: getattr(photo.row, key, None) for key in ROW_FIELDS},
            "pixels": [getattr(photo.row, "width", None), getattr(photo.row, "height", None)],
            "grid": photo.size,
            "pictures": dict(photo.pictures),
            "objects": [
                [
                    *(found.class_index, found.score, found.clip_confidence, found.sam_iou),
                    *(found.points, found.path, found.agreement, int(found.large)),
                ]
                for found in photo.objects
            ],
        }
