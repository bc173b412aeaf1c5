"""The photos beside their annotations, and names that every reader of these formats accepts."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from wordmask.errors import ConversionError, PhotoError
from wordmask.outputs.finished_run import RunPhoto
from wordmask.photo.kind import HEAD_SIZE, identify
from wordmask.photo.suffixes import IMAGE_SUFFIXES

Placing = Literal["none", "link", "copy"]
# Lists of names have one a line and stop at blanks, quotes and #; globs know brackets.
_AWKWARD = re.compile(r"""[\s"'#*?\[\]\\:|<>]""")
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_said: set[int] = set()  # each reason once
logger = logging.getLogger(__name__)
_LONGEST = 230  # bytes of a name, so that a mark and any suffix can follow


@dataclass(frozen=True)
class PhotoFiles:
    """How photos are brought beside their annotations: not at all, as links to them, or as copies."""

    placing: Placing = "none"

    def place(self, photo: RunPhoto, folder: Path) -> str:
        """Brings the photo into the folder, if that was asked for.

        Returns:
            Its name relative to the folder; where photos are not brought, the path that the run was given.

        Raises:
            ConversionError: the photo is not there, or is none.
        """
        if self.placing == "none":
            return photo.path
        source = Path(photo.path).absolute()
        if not source.is_file():
            advice = "start wordmask convert where the run was started, or give --photos none"
            raise ConversionError(f"{photo.path!r} is not there: {advice}")
        _check_photo(source)
        name = plain_name(photo.name) + (source.suffix if source.suffix.lower() in IMAGE_SUFFIXES else "")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if self.placing == "copy" or not _link(place, source):
            shutil.copyfile(source, place)
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


def _check_photo(path: Path) -> None:
    """Raises ConversionError if the file is not a photo: the journal may have been edited."""
    try:
        with path.open("rb") as file:
            identify(file.read(HEAD_SIZE))
    except (OSError, PhotoError) as error:
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
