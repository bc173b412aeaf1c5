"""Says why a download failed and what to do, and recognises what a failed one leaves under a file's name."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from wordmask.errors import HubError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_LIMITED, _TRANSIENT = 429, (408, 500, 502, 503, 504)  # statuses after which a later request may succeed
_LIMIT = re.compile(r";\s*r=0\s*;\s*t=(\d+)")  # in the header RateLimit: nothing remains, for so many seconds


def what_is(path: Path) -> str:
    """A hint to put behind "this file is not what was expected"; empty where nothing is known."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64).lstrip().lower()
    except OSError:
        return ""
    if head.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: run `git lfs pull`)"
    if head.startswith((b"<!doctype", b"<html")):
        return " (it is a web page)"
    return ""


def explain(error: Exception, repository: str, revision: str, *, reached: bool) -> HubError:
    """What an error of huggingface_hub means for the user.

    Args:
        error: of any version of huggingface_hub, and of whatever HTTP library that uses.
        repository: on the hub, `owner/name`.
        revision: a branch, tag or commit of it.
        reached: whether the hub had answered a request for this file before.
    """
    from huggingface_hub import constants  # noqa: PLC0415
    from huggingface_hub.errors import (  # noqa: PLC0415
        FileMetadataError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # it found nothing in the cache because of this
    response = getattr(error, "response", None)
    if response is not None:
        return _refused(response.status_code, response.headers, repository, revision)
    if isinstance(error, HFValidationError):
        return HubError("NOT_FOUND", f"no repository has such a name ({_line(error)})")
    if isinstance(error, OfflineModeIsEnabled):
        message = (
            f"HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE} does not hold it: unset it, or copy a filled HF_HOME"
        )
        return HubError("OFFLINE", message)
    if isinstance(error, FileMetadataError):
        return not_a_hub()
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        advice = "free some room, or set HF_HOME to a folder on another disk"
        return HubError("DISK_FULL", f"{constants.HF_HUB_CACHE} cannot be written ({_line(error)}): {advice}")
    if number in _CLOSED:
        advice = "set HF_HOME to a folder that you may write"
        return HubError("NOT_WRITABLE", f"{constants.HF_HUB_CACHE} cannot be written ({_line(error)}): {advice}")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        advice = "if a proxy signs connections here, set SSL_CERT_FILE to its certificates"
        return HubError("CERTIFICATE", f"the certificate of {constants.ENDPOINT} is not trusted: {advice}")
    if reached:
        advice = "start again, files that arrived whole are kept; a proxy may also put a page in the file's place"
        return HubError("BROKEN", f"the download ended too early ({_line(error)}): {advice}", transient=True)
    advice = "check the network; HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror"
    return HubError("UNREACHABLE", f"{constants.ENDPOINT} cannot be reached ({_line(error)}): {advice}")


def not_a_hub() -> HubError:
    """The error for an answer that is not the hub's."""
    from huggingface_hub import constants  # noqa: PLC0415

    advice = "a proxy or a log-in page answers in its place, or HF_ENDPOINT names no mirror"
    return HubError("NOT_A_HUB", f"{constants.ENDPOINT} does not answer as the hub does: {advice}")


def _refused(status: int, headers: Mapping[str, str], repository: str, revision: str) -> HubError:
    """The error for an HTTP status; `headers` in any case."""
    from huggingface_hub import constants, get_token  # noqa: PLC0415

    page, code = f"{constants.ENDPOINT}/{repository}", headers.get("X-Error-Code", "")
    if status == _LIMITED:
        wait = _wait(headers)
        pause = "some minutes" if wait is None else f"{wait:.0f} s"
        advice = f"wait {pause} and start again, or set HF_TOKEN: with an account the limit is higher"
        return HubError("LIMITED", f"too many requests (429): {advice}", transient=True, wait=wait)
    if status in _TRANSIENT:
        message = f"the hub fails ({status}): start again later, or set HF_ENDPOINT to a mirror"
        return HubError("UNAVAILABLE", message, transient=True, wait=_wait(headers))
    if code == "GatedRepo":
        with_token = (
            "with the account of your token" if get_token() else "with an account, and set HF_TOKEN to its token"
        )
        return HubError("LICENCE", f"its licence must be accepted ({status}): do so at {page} {with_token}")
    if status == 401 and get_token():
        advice = "set HF_TOKEN to another, or unset it and `hf auth logout`: a public repository needs none"
        return HubError("TOKEN", f"the hub does not take your token (401): {advice}")
    if status == 401:
        advice = "`hf auth login`, or a token in HF_TOKEN, gives access to a private one"
        return HubError("TOKEN", f"there is no such repository for everyone (401): look at {page}; {advice}")
    if status == 404:
        advice = f"look at {page}" + ("" if "huggingface.co" in page else "; HF_ENDPOINT may name an incomplete mirror")
        if code == "EntryNotFound":
            return HubError("NO_FILE", f"the repository has no such file (404): {advice}")
        what = (
            f"has no branch, tag or commit {revision}" if code == "RevisionNotFound" else "is not there, or is private"
        )
        return HubError("NOT_FOUND", f"the repository {what} (404): {advice}")
    advice = "your token may lack the permission, or a proxy forbids it"
    return HubError("REFUSED", f"the answer was {status}: {advice}")


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the hub asks to wait before the next request."""
    after = headers.get("Retry-After", "").strip()
    limit = _LIMIT.search(headers.get("RateLimit", ""))
    if after.isascii() and after.isdigit():
        return float(after)
    return float(limit[1]) if limit else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
