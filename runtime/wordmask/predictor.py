"""How Python code calls a Segmenter: with photos of any kind, one or many, and words and options as they come."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, overload

from wordmask.arrays import Photo
from wordmask.errors import PhotoError, VocabularyError, WordmaskWarning
from wordmask.options import Options, with_choices
from wordmask.photo.failures import photo_failure
from wordmask.photo.sources import Source, path_of, read_source, sources_of
from wordmask.result import FailedPhoto, Result
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary
from wordmask.text.word_lists import default_background
from wordmask.timing import StageTimer

Words = str | Iterable[str]
Noted = tuple[Result, tuple[str, ...]]  # with the decoder's notes


class Predictor(ABC):
    """Photos and words in, results out: the calls of a Segmenter, over `embed` and `segment`."""

    @property
    @abstractmethod
    def photos_in_flight(self) -> int:
        """The number of photos that are best processed at the same time."""

    @abstractmethod
    def embed(self, vocabulary: Vocabulary) -> Queries:
        """Embeds a vocabulary; do it once for many photos."""

    @abstractmethod
    def segment(self, photo: Photo, queries: Queries, options: Options, timer: StageTimer | None = None, /) -> Result:
        """Segments a decoded photo."""

    @overload
    def __call__(
        self,
        image: list[Any] | tuple[Any, ...],
        words: Words,
        *,
        background: Iterable[str] | None = ...,
        options: Options | None = ...,
        bgr: bool = ...,
        **choices: Any,
    ) -> list[Result]: ...
    @overload
    def __call__(
        self,
        image: Source,
        words: Words,
        *,
        background: Iterable[str] | None = ...,
        options: Options | None = ...,
        bgr: bool = ...,
        **choices: Any,
    ) -> Result: ...
    def __call__(
        self,
        image: Source | list[Any] | tuple[Any, ...],
        words: Words,
        *,
        background: Iterable[str] | None = None,
        options: Options | None = None,
        bgr: bool = False,
        **choices: Any,
    ) -> Result | list[Result]:
        """Segments a photo, or each photo of a list.

        Args:
            image: a path, a file object, the bytes of a file, a Pillow image or u8 pixels: (H, W, 3) RGB, (H, W) grey,
                (H, W, 4) RGBA. Or a list of these, which gives a list. What should be known of a file, such as that
                only the first of several images is used, is a WordmaskWarning.
            words: class lines; commas inside one separate synonyms. A string is one class line.
            background: words that compete for pixels and are left out of the results; None takes the default list.
            options: thresholds and prompts.
            bgr: the colours of arrays are in OpenCV's order.
            choices: single options by name, such as min_confidence=0.5; they override `options`.

        Raises:
            PhotoError: a file or an image cannot be used; ValueError: an array cannot.
            TypeError: an option has another name, or the photo is of another type.
            VocabularyError: no words, or words that cannot be used.
        """
        chosen, timer = with_choices(options, choices), StageTimer()
        work = _Work(self, self._queries(words, background, timer), chosen, bgr=bgr, keep_photo=True)
        if isinstance(image, list | tuple):
            found = [_result(outcome) for outcome in _in_order(image, work, self.photos_in_flight)]
        else:
            found = [work(image, timer)]
        for result, notes in found:
            for note in notes:
                warnings.warn(_named(result, note), WordmaskWarning, stacklevel=2)
        results = [result for result, _ in found]
        return results if isinstance(image, list | tuple) else results[0]

    def stream(
        self,
        photos: Source | Iterable[Source],
        words: Words,
        *,
        background: Iterable[str] | None = None,
        options: Options | None = None,
        bgr: bool = False,
        recursive: bool = False,
        keep_photo: bool = False,
        in_flight: int | None = None,
        **choices: Any,
    ) -> Iterator[Result | FailedPhoto]:
        """Segments photos one after the other, several at the same time, and gives their results in order.

        Photos are taken one by one, a few ahead of the result that is being waited for.

        Args:
            photos: a folder, whose image files are taken in name order, or photos of any kind that a call takes.
            words, background, options, bgr, choices: as in a call.
            recursive: search the folder's folders too, as `wordmask run --recursive` does, and log what is left out.
            keep_photo: results hold their photo's pixels. Else `plot` and `save` read the file again, and results of
                photos without a path cannot be drawn but with `plot(photo)`.
            in_flight: photos processed at the same time; None takes 2 on a processor, and 4 on a GPU.

        Yields:
            A Result, or a FailedPhoto with its `error` if the photo cannot be used.

        Raises:
            FileNotFoundError: the folder does not exist or has no photos.
            TypeError: as in a call; ValueError: an array cannot be used, the folder cannot be listed, or in_flight is
                below 1.
            VocabularyError: no words, or words that cannot be used.
        """
        if in_flight is not None and in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}: it must be at least 1")
        chosen = with_choices(options, choices)
        queries = self._queries(words, background, StageTimer())
        work = _Work(self, queries, chosen, bgr=bgr, keep_photo=keep_photo)
        return _results(_in_order(sources_of(photos, recursive=recursive), work, in_flight or self.photos_in_flight))

    def _queries(self, words: Words, background: Iterable[str] | None, timer: StageTimer) -> Queries:
        lines = [words] if isinstance(words, str) else _listed(words)
        others = default_background() if background is None else _listed(background)
        with timer.measure("words"):
            return self.embed(Vocabulary.parse(lines, others))


def _listed(words: Iterable[str]) -> Sequence[str]:
    """Words that may be a generator's; a string stays one, for Vocabulary.parse to refuse."""
    if not isinstance(words, Iterable):
        raise VocabularyError(f"the words are {words!r}: give a list of strings")
    return words if isinstance(words, str) else list(words)


def _results(outcomes: Iterable[Noted | FailedPhoto]) -> Iterator[Result | FailedPhoto]:
    """Warns of the decoder's notes, at the line that takes the results."""
    for outcome in outcomes:
        if isinstance(outcome, FailedPhoto):
            yield outcome
            continue
        result, notes = outcome
        for note in notes:
            warnings.warn(_named(result, note), WordmaskWarning, stacklevel=2)
        yield result


def _result(outcome: Noted | FailedPhoto) -> Noted:
    if isinstance(outcome, FailedPhoto):
        raise outcome.error
    return outcome


def _named(result: Result, note: str) -> str:
    return note if result.path is None else f"{result.path}: {note}"


@dataclass(frozen=True)
class _Work:
    """Reads and segments a photo. Called from several threads."""

    predictor: Predictor
    queries: Queries
    options: Options
    bgr: bool
    keep_photo: bool

    def __call__(self, source: Source, timer: StageTimer | None = None) -> Noted:
        timer = timer or StageTimer()
        with timer.measure("decode"):
            photo = read_source(source, bgr=self.bgr)
        found = self.predictor.segment(photo.pixels, self.queries, self.options, timer)
        kept = photo.pixels if self.keep_photo else None
        return replace(found, path=path_of(source), photo=kept), photo.notes


def _in_order(sources: Iterable[Source], work: _Work, in_flight: int) -> Iterator[Noted | FailedPhoto]:
    """Works on up to `in_flight` photos at the same time, and takes one more, so that no thread waits for it."""
    waiting: deque[tuple[Source, Future[Noted]]] = deque()
    pool = ThreadPoolExecutor(in_flight, "photo")
    try:
        for source in sources:
            if len(waiting) > in_flight:
                yield _outcome(waiting, work)
            waiting.append((source, pool.submit(work, source)))
        while waiting:
            yield _outcome(waiting, work)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _outcome(waiting: deque[tuple[Source, Future[Noted]]], work: _Work) -> Noted | FailedPhoto:
    """The first photo's outcome. One that does not fit into memory beside others is tried once more alone."""
    source, future = waiting.popleft()
    try:
        return future.result()
    except Exception as error:
        failure = _failure(error)
    if failure.code == "OOM" and waiting:
        wait([other for _, other in waiting])
        try:
            return work(source)
        except Exception as error:
            failure = _failure(error)
    return FailedPhoto(path_of(source), failure)


def _failure(error: Exception) -> PhotoError:
    """The photo's error; any other is raised."""
    failure = photo_failure(error)
    if failure is None:
        raise error
    return failure
