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

from wordmask.convert.displayed_photo import is_displayed_turned, write_as_displayed
from wordmask.errors import ConversionError, PhotoError, ReadError
from wordmask.outputs.finished_run import RunPhoto
from wordmask.photo.kind import HEAD_SIZE, identify
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
Placing = Literal["none", "link", "hardlink", "copy", "upright"]
# Lists of names have one a line and stop at blanks, quotes and #; globs know brackets.
_AWKWARD = re.compile(r"""[\s"'#*?\[\]\\:|<>]""")
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK)
_said: set[int | str] = set()  # each reason once
logger = logging.getLogger(__name__)
_LONGEST = 230  # bytes of a name, so that a mark and any suffix can follow


@dataclass(frozen=True)
class PhotoFiles:
    """How photos are brought beside their annotations.

    Attributes:
        placing: not at all, as symlinks, as hard links or as copies. "upright" copies too, but writes a photo that its
            metadata turn as it is displayed, for readers that do not turn it.
    """

    placing: Placing = "none"

    def place(
        self, photo: RunPhoto, folder: Path, *, kinds: Collection[str] = tuple(SUFFIXES), suffix: str | None = None
    ) -> str:
        """Brings the photo into the folder, if that was asked for.

        Args:
            photo: of the run.
            folder: where to.
            kinds: those of SUFFIXES that the format's readers take; others become PNG, or JPEG where PNG is not taken.
            suffix: the only one that the readers take.

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
        written: Literal["PNG", "JPEG"] | None = None
        if kind not in kinds:
            written = "PNG" if "PNG" in kinds else "JPEG"
        elif self.placing == "upright" and is_displayed_turned(source, photo.size):
            written = "JPEG" if kind == "JPEG" else "PNG"
        place = folder / (plain_name(photo.name) + (suffix or _suffix(source, written or kind)))
        place.parent.mkdir(parents=True, exist_ok=True)
        if written:
            if kind not in kinds:
                _say_once(place, kind, f"photos of the kind {kind} are written as {written}, as readers leave them out")
            write_as_displayed(source, place, written, photo.size)
        elif self.placing not in ("link", "hardlink") or not _link(place, source, self.placing):
            _copy(source, place)
        return str(place.relative_to(folder))


def _suffix(source: Path, kind: str) -> str:
    """The photo's own where readers know the kind by it."""
    return source.suffix if source.suffix.lower() in SUFFIXES[kind] else SUFFIXES[kind][0]


def _say_once(place: Path, reason: int | str, text: str) -> None:
    if reason not in _said:
        _said.add(reason)
        logger.warning("%s: %s", place.parent, text)


def _link(place: Path, source: Path, placing: Placing) -> bool:
    """Links to the photo; False, said once, where the file system has no links."""
    try:
        if placing == "link":
            place.symlink_to(source)
        else:
            place.hardlink_to(source.resolve())  # of a linked photo its file
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _say_once(place, error.errno, f"no links can be made there ({error.strerror}): photos are copied")
        return False
    return True


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
