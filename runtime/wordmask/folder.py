"""Segments many photos into an output folder: the next is decoded and the last is written while one is computed."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from wordmask import output
from wordmask.errors import NumericError, OutputError, PhotoError
from wordmask.image import IMAGE_SUFFIXES, Photo, load
from wordmask.overlay import draw
from wordmask.pipeline import Clock, Queries, Segmenter
from wordmask.prompts import reduction
from wordmask.types import Options, Segmentation

SAM_GRIDS = (32 * 32, 64 * 64)  # points of SAM's automatic mask generator: its default, and the dense one


@dataclass(frozen=True)
class Job:
    """A photo and its name in the outputs: a relative path without suffix, of its own."""

    path: Path
    name: str


@dataclass(frozen=True, eq=False)
class Done:
    """A photo with its result."""

    photo: Photo
    result: Segmentation


@dataclass(frozen=True)
class Writing:
    """Which optional outputs to write."""

    overlay: bool = False
    save_dense: bool = False


@dataclass
class Totals:
    """What a run adds up."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    prompts: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def find_photos(paths: Sequence[Path], *, recursive: bool = False, apart_from: Path | None = None) -> list[Job]:
    """Lists photos: files as given, folders' image files in name order, without those inside `apart_from`.

    Outputs are named after the photo without suffix; where two photos would share a name (a.jpg and a.png, or differing
    only in case), both keep their suffix, and a number follows if that is not enough.

    Raises:
        FileNotFoundError: a path does not exist, or there is no photo at all.
    """
    found: list[tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            files = path.rglob("*") if recursive else path.iterdir()
            inside = sorted(f for f in files if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith("."))
            results = apart_from.absolute() if apart_from else None
            found += [(f, f.relative_to(path)) for f in inside if results not in f.absolute().parents]
        elif path.exists() or path.is_symlink():
            found.append((path, Path(path.name)))
        else:
            raise FileNotFoundError(f"{path} does not exist")
    if not found:
        raise FileNotFoundError(f"no photos in {', '.join(map(str, paths))}")
    stems = Counter(str(short.with_suffix("")).casefold() for _, short in found)
    taken: set[str] = set()
    jobs = []
    for path, short in found:
        stem = str(short.with_suffix(""))
        jobs.append(Job(path, _free_name(stem if stems[stem.casefold()] == 1 else str(short), taken)))
    return jobs


def _free_name(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free.casefold())
    return free


def run_folder(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    queries: Queries,
    options: Options,
    out: Path,
    *,
    writing: Writing | None = None,
    settings: dict[str, Any] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    progress: Callable[[], None] = lambda: None,
) -> Totals:
    """Segments every photo and writes the outputs (see the README).

    A photo that cannot be used becomes a row of the journal with its code; the run goes on.

    Args:
        segmenter: the loaded bundle.
        jobs: the photos.
        queries: the embedded vocabulary.
        options: thresholds and prompts.
        out: output folder, made if missing.
        writing: optional outputs.
        settings: noted in run.json.
        tell: takes a line about a photo that deserves one.
        progress: called after each photo.

    Raises:
        OutputError: the outputs cannot be written.
    """
    totals, start = Totals(), time.perf_counter()
    writer = Writer(out, queries.vocabulary.names, options, writing or Writing(), totals, tell)
    journal = writer.open_journal()
    try:
        with journal:
            _segment_all(segmenter, jobs, queries, options, partial(writer.write, journal), progress)
    finally:  # also of an interrupted run: what was computed can be used
        words = queries.vocabulary.names
        output.write_json(out / "annotations.json", output.coco_document(words, totals.images, totals.annotations))
        run = run_summary(segmenter, options, totals, time.perf_counter() - start)
        finished = sum(totals.statuses.values()) == len(jobs)
        settings = {**(settings or {}), **asdict(options)}
        output.write_json(out / "run.json", {"finished": finished, "settings": settings, **run})
    return totals


def _segment_all(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    queries: Queries,
    options: Options,
    write: Callable[[int, Job, Done | PhotoError], None],
    progress: Callable[[], None],
) -> None:
    """Computes photo after photo while the one before is written."""
    with ThreadPoolExecutor(1, "write") as pool:
        pending: Future[None] | None = None
        for number, (job, photo, seconds) in enumerate(_decoded(jobs), start=1):
            done = photo if isinstance(photo, PhotoError) else _segment(segmenter, photo, queries, options, seconds)
            if pending is not None:
                pending.result()  # at most one photo waits to be written
            pending = pool.submit(write, number, job, done)
            progress()
        if pending is not None:
            pending.result()


def _segment(
    segmenter: Segmenter, photo: Photo, queries: Queries, options: Options, decode_seconds: float
) -> Done | PhotoError:
    clock = Clock()
    clock.seconds["decode"] = decode_seconds
    try:
        return Done(photo, segmenter.segment(photo.pixels, queries, options, clock))
    except NumericError as error:
        return PhotoError("NUMERIC", str(error))
    except MemoryError:
        return PhotoError("OOM", "not enough memory for this photo")


def _decoded(jobs: Sequence[Job]) -> Iterator[tuple[Job, Photo | PhotoError, float]]:
    """Photos in order with the seconds their decoding took; the next is decoded while one is used."""

    def timed(job: Job) -> tuple[Photo | PhotoError, float]:
        start = time.perf_counter()
        try:
            return load(job.path), time.perf_counter() - start
        except PhotoError as error:
            return error, time.perf_counter() - start

    with ThreadPoolExecutor(1, "decode") as pool:
        ahead = pool.submit(timed, jobs[0])
        for job, following in zip(jobs, [*jobs[1:], None], strict=True):
            photo, seconds = ahead.result()
            if following is not None:
                ahead = pool.submit(timed, following)
            yield job, photo, seconds


class Writer:
    """Writes one photo's outputs, then its row of the journal."""

    def __init__(
        self,
        out: Path,
        words: tuple[str, ...],
        options: Options,
        writing: Writing,
        totals: Totals,
        tell: Callable[[str], None],
    ) -> None:
        self.out, self.words, self.options = out, words, options
        self.writing, self.totals, self.tell = writing, totals, tell

    def open_journal(self) -> BinaryIO:
        """journal.jsonl, emptied; an earlier run's totals in the same folder are removed.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            for name in ("annotations.json", "run.json"):
                (self.out / name).unlink(missing_ok=True)
            return (self.out / "journal.jsonl").open("wb")
        except OSError as error:
            reason = "it is a file, give a folder" if self.out.is_file() else error.strerror
            raise OutputError(f"cannot write to {self.out}: {reason}") from error

    def write(self, journal: BinaryIO, number: int, job: Job, done: Done | PhotoError) -> None:
        """Takes a photo's result or error."""
        row: dict[str, Any] = {"photo": str(job.path), "name": job.name}
        if isinstance(done, PhotoError):
            row |= {"status": done.code, "error": str(done)}
            self.tell(f"{done.code}: {done}")
        else:
            for note in done.photo.notes:
                self.tell(f"{job.path}: {note}")
            row |= self._write_result(number, job, done.photo, done.result)
        self.totals.statuses[row["status"]] += 1
        try:
            journal.write(output.json_bytes(row))
            journal.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.out / 'journal.jsonl'}: {error.strerror}") from error

    def _write_result(self, number: int, job: Job, photo: Photo, result: Segmentation) -> dict[str, Any]:
        start = time.perf_counter()
        words = len(self.words)
        self._put("semantic", f"{job.name}.png", output.label_png(result.semantic, words))
        if self.writing.save_dense:
            self._put("dense", f"{job.name}.png", output.label_png(result.dense, words))
            self._put("confidence", f"{job.name}.png", output.confidence_png(result.confidence))
        if self.writing.overlay:
            self._put("overlay", f"{job.name}.jpg", output.jpeg(draw(photo.pixels, result)))
        if not result.instances:
            options = self.options
            self.tell(f"{job.path}: " + output.nothing_found(result, options.min_confidence, options.min_region_size))
        size = (photo.pixels.shape[0], photo.pixels.shape[1])
        self.totals.images.append(output.coco_image(number, str(job.path), size))
        self.totals.annotations += [output.coco_annotation(i, number) for i in result.instances]
        self.totals.prompts.append(result.prompt_count)
        seconds = {**result.seconds, "write": time.perf_counter() - start}
        for stage, value in seconds.items():
            self.totals.seconds.setdefault(stage, []).append(value)
        return {
            "status": "ok",
            "notes": list(photo.notes),
            "height": size[0],
            "width": size[1],
            "instances": len(result.instances),
            "prompts": result.prompt_count,
            "word_confidence": dict(zip(result.words, [round(c, 4) for c in result.word_confidence], strict=True)),
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        }

    def _put(self, folder: str, name: str, content: bytes) -> None:
        output.write_bytes(self.out / folder / name, content)


def run_summary(segmenter: Segmenter, options: Options, totals: Totals, seconds: float) -> dict[str, Any]:
    """What run.json says beside the settings."""
    manifest = segmenter.manifest
    photos = sum(totals.statuses.values())
    prompts = statistics.mean(totals.prompts) if totals.prompts else 0.0
    return {
        "bundle": {
            "id": manifest.bundle_id,
            "domain": manifest.domain,
            "precision": manifest.precision,
            "models": {name: model.name for name, model in manifest.models.items()},
            "loftup": segmenter.uses_loftup(options),
        },
        "totals": {
            "photos": photos,
            "statuses": dict(sorted(totals.statuses.items())),
            "instances": len(totals.annotations),
            "seconds": round(seconds, 3),
            "images_per_second": round(photos / seconds, 4),
        },
        "stage_seconds": {
            stage: {"mean": round(statistics.mean(values), 4), "median": round(statistics.median(values), 4)}
            for stage, values in sorted(totals.seconds.items())
        },
        "prompts_per_image": round(prompts, 2),
        "prompt_reduction": {f"against_{grid}_points": round(reduction(prompts, grid), 4) for grid in SAM_GRIDS},
    }
