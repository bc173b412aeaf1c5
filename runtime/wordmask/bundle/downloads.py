"""Downloads files from the Hugging Face hub; what goes wrong becomes one line with the way out.

huggingface_hub goes on with a connection that ended too early, but gives up on most other trouble at once, and compares
no checksum. So it is asked again here after a while, and what came is compared with what the hub had announced.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wordmask.bundle.failed_downloads import explain, not_a_hub
from wordmask.errors import HubError

ATTEMPTS = 4
LONGEST_WAIT = 120  # seconds; whoever is asked to wait longer is told so
TIMEOUT = 10  # seconds that the hub may take for an answer
_SHA256 = re.compile(r"[0-9a-f]{64}")
Report = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """A file of a repository on the hub, at a branch, tag or commit."""

    repository: str
    file: str
    revision: str = "main"


def download(place: Place, report: Report, *, latest: bool = False, most: int | None = None) -> Path:
    """A file of the hub in huggingface_hub's cache (see HF_HOME), from the network where it is not there yet.

    Args:
        place: which file.
        report: is told of further attempts, and of a cached file that is damaged.
        latest: ask the hub what the branch has now, even where the cache has an earlier state. With HF_HUB_OFFLINE the
            cached state is taken.
        most: a file that the hub announces with more bytes is refused and not downloaded.

    Raises:
        HubError: it cannot be had, is larger, or is not what the hub announced.
    """
    from huggingface_hub import constants  # noqa: PLC0415

    path = _cached(place)
    if path is not None and not _is_whole(path):
        report(f"{path} is damaged (its SHA-256 is not the hub's): downloading it again")
        _forget(path)
        path = None
    if path is None or (latest and not constants.HF_HUB_OFFLINE):
        path = _download_patiently(place, report, most)
    if not _is_whole(path):
        _forget(path)
        raise HubError(
            "CHECKSUM",
            "what came is not what the hub announced (another SHA-256) and was deleted: start again; if it comes back "
            "so, a proxy or a mirror on the way changes files",
        )
    return path


def forget_unproven(path: Path) -> None:
    """Removes a cached file whose SHA-256 the hub did not announce, so that the next time it is downloaded again.

    Small files have no SHA-256 on the hub: only their reader finds that one is damaged. It stays with HF_HUB_OFFLINE,
    and where it cannot be removed.
    """
    from huggingface_hub import constants  # noqa: PLC0415

    if _announced_sha256(path) is None and not constants.HF_HUB_OFFLINE:
        with contextlib.suppress(HubError):
            _forget(path)


def _cached(place: Place) -> Path | None:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(place.repository, place.file, revision=place.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _announced_sha256(path: Path) -> str | None:
    """The SHA-256 of a cached file as the hub announced it; None where it did not.

    The cache has links to blobs. A large file's blob is named by the ETag, which is the file's SHA-256.
    """
    return path.readlink().name if path.is_symlink() and _SHA256.fullmatch(path.readlink().name) else None


def _is_whole(path: Path) -> bool:
    """Whether a cached file is the one that the hub announced; true where no SHA-256 is known."""
    expected = _announced_sha256(path)
    if expected is None:
        return True
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == expected


def _forget(path: Path) -> None:
    """Removes a cached file: the link, the blob, and what the blob may be a link to.

    Raises:
        HubError: it cannot be removed.
    """
    blob = path.parent / path.readlink() if path.is_symlink() else path
    try:
        for part in (blob.resolve(), blob, path):
            part.unlink(missing_ok=True)
    except OSError as error:
        advice = "remove it, or set HF_HOME to a folder that you may write"
        message = f"{path} is damaged and cannot be removed ({error.strerror}): {advice}"
        raise HubError("NOT_WRITABLE", message) from error


def _download_patiently(place: Place, report: Report, most: int | None) -> Path:
    attempt = 1
    while True:
        try:
            return _download(place, report, most)
        except HubError as error:
            wait = 2.0**attempt if error.wait is None else error.wait
            if not error.transient or attempt == ATTEMPTS or wait > LONGEST_WAIT:
                raise
            report(f"{place.file}: {error}. Trying again in {wait:.0f} s ({attempt + 1} of {ATTEMPTS})")
            time.sleep(wait)
            attempt += 1


def _download(place: Place, report: Report, most: int | None) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    try:
        # a plain request first: without a network the download itself would try for half a minute
        found = get_hf_file_metadata(hf_hub_url(place.repository, place.file, revision=place.revision), timeout=TIMEOUT)
    except Exception as error:  # which errors there are depends on the hub client's version and HTTP library
        raise explain(error, place.repository, place.revision, reached=False) from error
    if found.commit_hash is None or found.etag is None:
        raise not_a_hub()
    if most is not None and found.size is not None and found.size > most:
        raise HubError("TOO_LARGE", f"it has {found.size} bytes on the hub, expected at most {most}")
    cache = Path(constants.HF_HUB_CACHE)
    if not (cache / f"models--{place.repository.replace('/', '--')}" / "blobs" / found.etag).exists():
        _check_space(cache, found.size)
    try:
        return _fetch(place, found.commit_hash)
    except HubError as error:
        chunked = getattr(found, "xet_file_data", None) is not None and not constants.HF_HUB_DISABLE_XET
        if not chunked or error.code in ("DISK_FULL", "NOT_WRITABLE"):
            raise
        report(f"{place.file}: {error}. Trying again without Xet, as HF_HUB_DISABLE_XET=1 does from the start")
        constants.HF_HUB_DISABLE_XET = True  # its hosts are others, which a firewall may not know
        return _fetch(place, found.commit_hash)


def _fetch(place: Place, commit: str) -> Path:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    try:
        path = Path(hf_hub_download(place.repository, place.file, revision=place.revision))
    except Exception as error:
        raise explain(error, place.repository, place.revision, reached=True) from error
    if commit not in path.parts:  # it asks the hub itself, and takes an earlier state where it gets no answer
        message = f"the hub failed, or {place.revision} moved, during the download: start again"
        raise HubError("UNAVAILABLE", message, transient=True)
    return path


def _check_space(cache: Path, size: int | None) -> None:
    """Raises HubError if a file does not fit on the cache's disk: better known before the download than after."""
    nearest = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(nearest).free
    if size is not None and size > free:
        raise HubError(
            "DISK_FULL",
            f"{cache} has room for {free / 1e9:.2f} GB, the file has {size / 1e9:.2f} GB: free some, or set HF_HOME to "
            "a folder on another disk",
        )
