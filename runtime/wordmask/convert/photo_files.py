"""The photos beside their annotations, and names that every reader of these formats accepts."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from PIL import Image

from wordmask.errors import ConversionError, PhotoError, ReadError
from wordmask.formats.pictures import encode
from wordmask.outputs.finished_run import RunPhoto
from wordmask.photo.kind import HEAD_SIZE, identify
from wordmask.photo.reading import load
from wordmask.system.files import copy_file

# By what photo.kind finds in a file: readers know photos by these, in any case.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
}
Placing = Literal["none", "link", "copy"]
# Lists of names have one a line and stop at blanks, quotes and #; globs know brackets.
_AWKWARD = re.compile(r"""[\s"'#*?\[\]\\:|<>]""")
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_said: set[int | str] = set()  # each reason once
logger = logging.getLogger(__name__)
_LONGEST = 230  # bytes of a name, so that a mark and any suffix can follow


@dataclass(frozen=True)
class PhotoFiles:
    """How photos are brought beside their annotations: not at all, as links to them, or as copies."""

    placing: Placing = "none"

    def place(self, photo: RunPhoto, folder: Path, *, kinds: Collection[str] = tuple(SUFFIXES)) -> str:
        """Brings the photo into the folder, if that was asked for.

        Args:
            photo: of the run.
            folder: where to.
            kinds: those of SUFFIXES that the format's readers take; others become PNG.

        Returns:
            Its name relative to the folder, with a suffix of its kind; where photos are not brought, the path that the
            run was given.

        Raises:
            ConversionError: the photo is not there, or is none.
        """
        if self.placing == "none":
            return photo.path
        source = Path(photo.path).absolute()
        kind = _kind(source)
        suffixes = SUFFIXES[kind if kind in kinds else "PNG"]
        name = plain_name(photo.name) + (source.suffix if source.suffix.lower() in suffixes else suffixes[0])
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind not in kinds:
            _write_png(source, place, kind, photo.size)
        elif self.placing == "copy" or not _link(place, source):
            _copy(source, place)
        return name


def _link(place: Path, source: Path) -> bool:
    """Links to the photo; False, said once, where the file system has no links."""
    try:
        place.symlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if error.errno not in _said:
            _said.add(error.errno)
            logger.warning("%s: no links can be made there (%s): photos are copied", place.parent, error.strerror)
        return False
    return True


def _write_png(source: Path, place: Path, kind: str, size: tuple[int, int]) -> None:
    """The photo as it is displayed, as PNG."""
    if kind not in _said:
        _said.add(kind)
        logger.warning("%s: photos of the kind %s are written as PNG, as readers leave them out", place.parent, kind)
    try:
        pixels = load(source, lenient=True, max_pixels=size[0] * size[1]).pixels  # the run has read it
    except PhotoError as error:
        raise ConversionError(str(error)) from error
    place.write_bytes(encode(Image.fromarray(pixels), "PNG"))


def _copy(source: Path, place: Path) -> None:
    try:
        copy_file(source, place)
    except ReadError as error:
        place.unlink(missing_ok=True)
        raise ConversionError(f"{error}: give --photos none") from error


def _kind(path: Path) -> str:
    """What kind of photo it is. The journal may have been edited: nothing else than a photo gets into a data set."""
    try:
        if not path.is_file():
            advice = "start wordmask convert where the run was started, or give --photos none"
            raise ConversionError(f"{str(path)!r} is not there: {advice}")
        with path.open("rb") as file:
            return identify(file.read(HEAD_SIZE))
    except OSError as error:
        raise ConversionError(f"cannot read {str(path)!r}: {error.strerror}: give --photos none") from error
    except PhotoError as error:
        raise ConversionError(f"{str(path)!r} is no photo ({error}): give --photos none") from error


def plain_name(name: str) -> str:
    """A photo's name without what lists of names or paths cannot carry; one that is changed gets a mark of its own."""
    plain = "/".join(map(_plain, PurePath(name).parts))
    return plain if plain == name else f"{plain}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def _plain(part: str) -> str:
    kept = "".join("_" if _AWKWARD.match(letter) or not letter.isprintable() else letter for letter in part)
    kept = os.fsencode(kept)[:_LONGEST].decode("utf-8", "ignore")
    # ultralytics finds labels by exchanging the last folder "images" of a path for "labels"
    return f"{kept}_" if kept in ("images", "labels") else kept
