"""A request to the served model: parses its inputs, makes its outputs. Of Triton it has only the tensors' names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wordmask.bundle.strict_json import load_json, parse_as
from wordmask.errors import BundleError, ManifestError, PhotoError, WordmaskError
from wordmask.formats import pictures
from wordmask.formats.coco import coco_photo_document
from wordmask.formats.explanation import remarks
from wordmask.formats.json import json_bytes
from wordmask.loading import check_options
from wordmask.outputs.rows import DoneRow, PhotoRow
from wordmask.photo.header import TOO_LARGE_ADVICE
from wordmask.photo.options import ColorProfile, ReadOptions
from wordmask.photo.reading import Photo, load_bytes
from wordmask.pipeline import Segmenter
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import ClassLine, Vocabulary
from wordmask.text.word_lists import default_background
from wordmask.timing import StageTimer
from wordmask.types import Options, Segmentation

PHOTO, WORDS, OPTIONS = "photo", "words", "options"  # inputs
ANNOTATIONS, SEMANTIC, REPORT = "annotations", "semantic", "report"  # outputs
NAME = "photo"  # stands in annotations and messages where a request has no id

Embed = Callable[[Vocabulary], Queries]


class RequestError(WordmaskError, ValueError):
    """The words or options of a request cannot be used, whatever the photo."""


@dataclass(frozen=True)
class Extras:
    """What a request may choose beside wordmask.Options.

    Attributes:
        background: words that compete for pixels and are left out of the results; None takes the default list.
        lenient: take garbled JPEGs as far as they can be decoded.
        color_profile: take the photo's colours as they are, or convert them to sRGB by its profile.
    """

    background: tuple[str, ...] | None = None
    lenient: bool = False
    color_profile: ColorProfile = "ignore"

    @property
    def reading(self) -> ReadOptions:
        """How the photo is read."""
        return ReadOptions(lenient=self.lenient, color_profile=self.color_profile)


@dataclass(frozen=True)
class Question:
    """A request, parsed.

    Attributes:
        photo: content of its file.
        name: of the photo, for annotations and messages.
    """

    photo: bytes
    name: str
    vocabulary: Vocabulary
    options: Options
    reading: ReadOptions

    @classmethod
    def parse(cls, photo: bytes, words: bytes, options: bytes = b"", name: str = "") -> Question:
        """Reads a request's inputs.

        Args:
            photo: content of its file.
            words: UTF-8, one class a line; commas separate synonyms.
            options: a JSON object of wordmask.Options' and Extras' fields; empty takes the defaults.
            name: of the photo; may be empty.

        Raises:
            RequestError: words or options cannot be used.
        """
        try:
            numbered = enumerate(words.decode("utf-8").splitlines(), start=1)
            lines = [ClassLine(line, number) for number, line in numbered if line.strip("\ufeff \t\r")]
            raw = load_json(options.decode("utf-8")) if options.strip() else {}
            if not isinstance(raw, dict):
                raise ManifestError(f"options are a {type(raw).__name__}, expected a JSON object")
            beside = {field: raw.pop(field) for field in Extras.__dataclass_fields__ if field in raw}
            chosen, extras = parse_as(Options, raw, OPTIONS), _extras(beside)
            background = default_background() if extras.background is None else extras.background
            return cls(photo, name or NAME, Vocabulary.parse(lines, background), chosen, extras.reading)
        except ValueError as error:  # of the words, the JSON, a field, or no UTF-8
            raise RequestError(str(error)) from error


def _extras(raw: dict[str, Any]) -> Extras:
    if raw.get("background") is not None:
        raw["background"] = parse_as(tuple[str, ...], raw["background"], f"{OPTIONS}.background")
    lenient = parse_as(bool, raw.get("lenient", False), f"{OPTIONS}.lenient")
    color_profile = parse_as(ColorProfile, raw.get("color_profile", "ignore"), f"{OPTIONS}.color_profile")
    return Extras(raw.get("background"), lenient, color_profile)


def answer(
    segmenter: Segmenter, embed: Embed, question: Question, wanted: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Answers a request.

    Args:
        segmenter: the chain.
        embed: its `embed`, or a cached version of it.
        question: the request.
        wanted: which of ANNOTATIONS, SEMANTIC and REPORT.

    Yields:
        Their names and contents: the annotations.json, and the semantic PNG, that `wordmask run` writes for this one
        photo; and a JSON report with what its journal says of the photo.

    Raises:
        RequestError: the bundle cannot do what the options ask for.
        PhotoError: the photo cannot be used.
        WordmaskError: the chain fails; see Segmenter.
    """
    try:
        check_options(segmenter.bundle, question.options)
    except BundleError as error:
        raise RequestError(str(error)) from error
    timer = StageTimer()
    with timer.measure("decode"):
        photo = _decoded(question)
    with timer.measure("words"):
        queries = embed(question.vocabulary)
    result = segmenter.segment(photo.pixels, queries, question.options, timer)
    if ANNOTATIONS in wanted:
        yield ANNOTATIONS, coco_photo_document(question.name, result)
    if SEMANTIC in wanted:
        yield SEMANTIC, pictures.label_png(result.semantic, len(result.words))
    if REPORT in wanted:
        yield REPORT, json_bytes(_report(question.name, result, photo.notes, question.options))


def _decoded(question: Question) -> Photo:
    try:
        return load_bytes(question.photo, question.name, question.reading)
    except PhotoError as error:
        raise PhotoError(error.code, str(error).replace(TOO_LARGE_ADVICE, "shrink it")) from error


def _report(name: str, result: Segmentation, notes: tuple[str, ...], options: Options) -> Mapping[str, Any]:
    row = DoneRow.of(name, name, None, result, remarks(notes, result, options))
    return {field: value for field, value in vars(row).items() if field not in PhotoRow.__dataclass_fields__}
