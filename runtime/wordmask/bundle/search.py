"""Finds the folder of a bundle by its name."""

from __future__ import annotations

import os
from pathlib import Path

from wordmask.bundle.hub import PREFIX, parse_name, pulled
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.unpacking import SUFFIX, unpacked
from wordmask.errors import BundleError
from wordmask.system.package_data import data_path
from wordmask.system.user_cache import user_cache

DEFAULT_NAME, SHIPPED_NAME = "default", "tiny"


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
        name: a folder; a file that `wordmask pack` made, which is unpacked once into the user's cache; a repository of
            the Hugging Face hub as `hf:OWNER/NAME[@REVISION]`, which is downloaded once; or a name that is looked up in
            the search path. None takes the one named `default`, or else the shipped `tiny`, which was trained on
            synthetic scenes.

    Raises:
        BundleError: there is none, or it cannot be unpacked or downloaded; lists the folders that were searched.
        MissingExtraError: it is on the hub, and huggingface_hub is not installed.
        OutputError: the cache cannot be written.
    """
    if str(name).startswith(PREFIX):
        return pulled(parse_name(str(name)))
    wanted = Path(name or DEFAULT_NAME)
    if name is not None and _holds_manifest(wanted):
        return wanted
    if name is not None and wanted.is_file():
        return unpacked(wanted)
    if wanted.suffix == SUFFIX:
        raise BundleError(f"there is no file {wanted}: `wordmask pack` makes such a file")
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
        f"`wordmask build models_cache/{wanted}` makes one, --bundle takes a folder, a packed file or hf:OWNER/NAME"
    )


def from_elsewhere(name: str | Path) -> bool:
    """Whether a bundle is on the hub or in a packed file, so that its folder is a copy in the cache."""
    return str(name).startswith(PREFIX) or Path(name).is_file()


def _holds_manifest(folder: Path) -> bool:
    try:
        return (folder / FILE_NAME).is_file()
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror}): check its permissions") from error
