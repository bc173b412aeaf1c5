"""Converts a run photo by photo, into a folder that gets its name when it is complete."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wordmask.convert.coco import CocoWriter, DatumaroWriter
from wordmask.convert.files import Writer, write
from wordmask.convert.geojson import GeoJsonWriter
from wordmask.convert.labelme import LabelMeWriter
from wordmask.convert.labelstudio import LabelStudioWriter
from wordmask.convert.panoptic import PanopticWriter
from wordmask.convert.photo_files import PhotoFiles, Placing
from wordmask.convert.voc import CvatWriter, VocWriter
from wordmask.convert.yolo import YoloWriter
from wordmask.errors import ConversionError, OutputError, WordmaskWarning
from wordmask.formats.json import json_bytes
from wordmask.outputs.finished_run import FinishedRun
from wordmask.outputs.layout import CONVERTED
from wordmask.system.files import atomic_folder

MARK = CONVERTED  # what may be replaced with --force


WRITERS: dict[str, Callable[[Path, tuple[str, ...], PhotoFiles], Writer]] = {
    "coco": CocoWriter,
    "coco-datumaro": DatumaroWriter,
    "coco-panoptic": PanopticWriter,
    "yolo-seg": YoloWriter,
    "labelme": LabelMeWriter,
    "cvat": CvatWriter,
    "voc": VocWriter,
    "geojson": GeoJsonWriter,
    "labelstudio": LabelStudioWriter,
}
WITHOUT_PHOTOS = ("cvat", "geojson")


@dataclass(frozen=True)
class Converted:
    """photos and objects: written; left_out: photos with results that could not be."""

    photos: int
    objects: int
    left_out: int


def _warn(text: str) -> None:
    warnings.warn(text, WordmaskWarning, stacklevel=3)


def convert(
    out: Path,
    kind: str,
    target: Path,
    *,
    placing: Placing = "none",
    stuff: Collection[str] = (),
    force: bool = False,
    log: Callable[[str], None] = _warn,
    progress: Callable[[int], None] = lambda done: None,
) -> Converted:
    """Converts a finished run. Memory does not grow with its photos.

    Args:
        out: the run's output folder.
        kind: a key of WRITERS.
        target: the folder to make. Until all is written it has another name.
        placing: whether and how photos are brought beside their annotations.
        stuff: of coco-panoptic, those of the words that are stuff and not things.
        force: replace what an earlier conversion wrote there.
        log: takes a message about each photo that is left out; by default a WordmaskWarning.
        progress: takes the number of photos read, after each.

    Raises:
        ConversionError: the folder holds no finished run, the target exists, or the format cannot hold the run.
        OutputError: it cannot be written.
    """
    if placing != "none" and kind in WITHOUT_PHOTOS:
        raise ConversionError(f"{kind} has no place for photos: leave out --photos {placing}")
    if stuff and kind != "coco-panoptic":
        raise ConversionError(f"{kind} does not tell stuff from things: leave out --stuff, or take coco-panoptic")
    begin = partial(PanopticWriter, stuff=stuff) if stuff else WRITERS[kind]
    run = FinishedRun.open(out)
    totals = run.record.totals
    if totals.photos > totals.done:
        log(f"{totals.photos - totals.done} of {totals.photos} photos failed in the run and have nothing to convert")
    try:
        _check_target(target, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target, replace=True) as folder:
            converted = _write(run, begin(folder, run.words, PhotoFiles(placing)), log, progress)
            mark = {"format": kind, "photos": converted.photos, "objects": converted.objects}
            write(folder / MARK, json_bytes(mark))
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return converted


def _write(run: FinishedRun, writer: Writer, log: Callable[[str], None], progress: Callable[[int], None]) -> Converted:
    photos = objects = left_out = 0
    for entry in run.entries():
        try:
            photo = run.read(entry)
            writer.add(photo)
        except ConversionError as error:
            log(f"left out: {error}")
            left_out += 1
        else:
            photos += 1
            objects += len(photo.objects)
        progress(photos + left_out)
    writer.finish()
    return Converted(photos, objects, left_out)


def _check_target(target: Path, *, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / MARK).is_file():
        raise ConversionError(f"{target} holds what wordmask convert did not write: give another --output")
    if not force:
        raise ConversionError(f"{target} exists: give another --output, or --force to replace it")
