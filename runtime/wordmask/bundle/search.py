"""Finds the folder of a bundle by its name."""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path

from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.errors import BundleError
from wordmask.system.package_data import data_path

DEFAULT_NAME, SHIPPED_NAME = "default", "tiny"


def user_cache() -> Path:
    """Cache folder, whose files can be made again: $WORDMASK_CACHE, or wordmask in the user's cache folder.

    A user without a home gets a folder of their own among the temporary ones.
    """
    own = os.environ.get("WORDMASK_CACHE")
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wordmask"
    except RuntimeError:  # neither $HOME nor an entry for the user
        return temporary_cache()


@cache
def temporary_cache() -> Path:
    """The same where the user's cache cannot be: one for all processes of the user, if nobody else may write it."""
    folder = Path(tempfile.gettempdir()) / f"wordmask-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="wordmask-"))
    private = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022
    return folder if private else Path(tempfile.mkdtemp(prefix="wordmask-"))


def writable_cache() -> Path:
    """`user_cache`, or a temporary one where nothing can be written there."""
    folder = user_cache()
    return folder if is_writable(folder) else temporary_cache()


def is_writable(folder: Path) -> bool:
    """Whether a folder can be written, or be made where it is missing."""
    nearest = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def search_path() -> list[Path]:
    """Folders in which a bundle's name is looked up, in this order."""
    folders = [Path(folder) for folder in os.environ.get("WORDMASK_MODELS", "").split(os.pathsep) if folder]
    package = Path(__file__).resolve().parents[1]
    return [
        *folders,
        Path("models_cache"),
        package.parents[1] / "models_cache",  # of the checkout, where this is one
        user_cache() / "models",
        data_path("wordmask", "models"),  # shipped with an installed wheel
    ]


def find_bundle(name: str | Path | None = None) -> Path:
    """The folder of a bundle.

    Args:
        name: a folder, or a name that is looked up in the search path; None takes the one named `default`, or else the
            shipped `tiny`, which was trained on synthetic scenes.

    Raises:
        BundleError: there is none; lists the folders that were searched.
    """
    wanted = Path(name or DEFAULT_NAME)
    if name is not None and _holds_manifest(wanted):
        return wanted
    if wanted.is_absolute() or len(wanted.parts) > 1 or str(wanted) == "..":
        raise BundleError(f"{wanted} is not a bundle: it holds no {FILE_NAME}; `wordmask build {wanted}` makes one")
    folders, closed = search_path(), []
    for candidate in (wanted, Path(SHIPPED_NAME)) if name is None else (wanted,):
        for folder in folders:
            try:
                if _holds_manifest(folder / candidate):
                    return folder / candidate
            except BundleError as error:  # it may be in another
                closed.append(error)
    if closed:
        raise closed[0]
    here = f" (the folder {wanted} here is not a bundle: it holds no {FILE_NAME})" if wanted.is_dir() else ""
    raise BundleError(
        f"no bundle named {str(wanted)!r} in {', '.join(map(str, folders))}{here}; "
        f"`wordmask build models_cache/{wanted}` makes one, --bundle takes a folder"
    )


def _holds_manifest(folder: Path) -> bool:
    try:
        return (folder / FILE_NAME).is_file()
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror}): check its permissions") from error
