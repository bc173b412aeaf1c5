"""Places that are no paths of this machine, such as s3://bucket/folder: read and written through fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Url:
    """The name of a file or folder somewhere."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def suffix(self) -> str:
        """Of the last part, as a path's."""
        return PurePosixPath(self.text).suffix


Place = Path | Url


def parse_place(text: str) -> Place:
    """A URL where there is a scheme, else a path."""
    return Url(text.rstrip("/")) if "://" in text else Path(text)


def open_url(url: Url) -> tuple[Any, str]:
    """The file system of a URL, which keeps no listings, and the path in it.

    Raises:
        ValueError: nothing here knows this kind of URL, or it lacks what it needs.
    """
    import fsspec  # noqa: PLC0415  (of the extra `ray`)

    try:
        files, path = fsspec.core.url_to_fs(str(url), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url} cannot be used: {error}") from error
    return files, path


def files_in(files: Any, folder: str) -> dict[str, Mapping[str, Any]]:
    """The files of a folder of a file system, without those of its folders: facts by path.

    Its `find` with a depth takes a store that refuses for an empty one.

    Raises:
        FileNotFoundError: there is nothing.
        Exception: the file system's own, where it refuses.
    """
    return {entry["name"]: entry for entry in files.ls(folder, detail=True) if entry["type"] == "file"}


def error_code(error: Exception) -> str | None:
    """What S3's protocol calls an error, such as NoSuchBucket or SignatureDoesNotMatch; None of other stores."""
    code: str | None = _answer(error).get("Code")
    return code


def reason_of(error: Exception) -> str:
    """Why a store refuses: the kind of the error in words, and what the store says."""
    code, message = error_code(error), _answer(error).get("Message")
    if code == "NoSuchBucket":
        return f"there is no such bucket ({code})"
    if isinstance(error, PermissionError):
        return f"access is denied ({': '.join(filter(None, (code, message))) or error})"
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    return f"{code}: {message or error}" if code else str(error) or type(error).__name__


def _answer(error: Exception) -> dict[str, Any]:
    """The error in an answer by S3's protocol, which botocore keeps beside the exception."""
    answer = getattr(error.__cause__ or error, "response", None)
    told = answer.get("Error") if isinstance(answer, dict) else None
    return told if isinstance(told, dict) else {}
