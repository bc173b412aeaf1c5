"""A photo of any origin that Python code has at hand: a path, a file object, bytes, a Pillow image or an array."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.photo.folders import LeftOut, PhotoFolders
from wordmask.photo.reading import Photo, check_rgb, load, load_bytes, load_image

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
NAME = "the photo"  # in messages about one without a path


def read_source(source: Source, *, bgr: bool = False) -> Photo:
    """Reads a photo.

    Args:
        source: a path; a file object open in binary mode, or its bytes; a Pillow image; u8 pixels as displayed:
            (H, W, 3) RGB, (H, W) or (H, W, 1) grey, (H, W, 4) RGBA, whose transparency is laid over white.
        bgr: arrays with colours have OpenCV's order, BGR or BGRA.

    Raises:
        PhotoError: a file, its bytes or an image cannot be used; see wordmask.photo.load.
        TypeError: it is none of these, such as the None of cv2.imread.
        ValueError: an array has another shape or dtype.
    """
    if isinstance(source, str | os.PathLike):
        return load(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return load_bytes(bytes(source), NAME)
    if isinstance(source, Image.Image):
        return load_image(source, str(getattr(source, "filename", "") or NAME))
    if not isinstance(source, np.ndarray) and hasattr(source, "read"):
        return _read_stream(source)
    if hasattr(source, "__array__"):
        return _read_array(np.asarray(source), bgr=bgr)
    if source is None:
        raise TypeError(
            "the photo is None: cv2.imread gives that for a file it cannot read, whose path can be given here"
        )
    kinds = "a path, a file object, bytes, a Pillow image or an array"
    raise TypeError(f"the photo is of the type {type(source).__name__}, expected {kinds}")


def _read_stream(stream: BinaryIO) -> Photo:
    data: object = stream.read()
    if not isinstance(data, bytes):
        raise TypeError(f"the file gives {type(data).__name__} in place of bytes: open it in binary mode, 'rb'")
    return load_bytes(data, str(getattr(stream, "name", NAME)))


def _read_array(array: NDArray[Any], *, bgr: bool) -> Photo:
    if array.ndim == 2:
        array = array[..., None]  # (H, W) -> (H, W, 1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    elif bgr and array.ndim == 3 and array.shape[2] in (3, 4):
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    if array.ndim == 3 and array.shape[2] == 4 and array.dtype == np.uint8 and array.size:
        return load_image(Image.fromarray(np.ascontiguousarray(array)), NAME)
    return Photo(check_rgb(array))


def path_of(source: object) -> Path | None:
    """The path of a photo that has one."""
    return Path(source) if isinstance(source, str | os.PathLike) else None


def sources_of(photos: Source | Iterable[Source], *, recursive: bool = False) -> Iterable[Source]:
    """Photos one by one: of a folder its image files in name order, a single photo alone, else as they are given.

    Args:
        photos: a folder, a photo or photos.
        recursive: search folders in the folder too; see PhotoFolders for what is left out, which is logged.

    Raises:
        FileNotFoundError: a path does not exist, or a folder has no photo.
        ValueError: the folder cannot be listed.
    """
    path = path_of(photos)
    if path is not None:
        return _photos_at(path, recursive=recursive)
    single = isinstance(photos, bytes | bytearray | memoryview | Image.Image) or hasattr(photos, "read")
    if single or (isinstance(photos, np.ndarray) and photos.ndim < 4):
        return [photos]  # type: ignore[list-item]
    if not isinstance(photos, Iterable):
        raise TypeError(f"the photos are of the type {type(photos).__name__}, expected a folder or photos one by one")
    return photos  # type: ignore[return-value]


def _photos_at(path: Path, *, recursive: bool) -> Sequence[Path]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_dir():
        return [path]
    left_out = LeftOut()
    found = PhotoFolders(recursive, None, left_out).photos(path)
    left_out.warn()
    if not found:
        raise FileNotFoundError(f"no photos in {path}")
    return found
