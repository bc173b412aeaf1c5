"""Every error wordmask raises on purpose, so that callers can catch one base or a builtin; and its warnings.

A message says what was found, what was expected and what to do. Any other exception is a bug.
"""

from __future__ import annotations


def install_hint(extras: str) -> str:
    """The command that installs extras, such as "cpu,hub", in the folder of wordmask's checkout.

    The first release puts the package's name in place of the folder, here alone.
    """
    return f"pip install '.[{extras}]'"


class WordmaskError(Exception):
    """Base of all wordmask errors."""


class WordmaskWarning(UserWarning):
    """Results are there, but the caller should know something about them; the command line prints these to stderr."""


class BundleError(WordmaskError, ValueError):
    """A bundle is missing, damaged, or does not do what its manifest says."""


class ManifestError(BundleError):
    """manifest.json does not follow the schema; the message names the field."""


class DeviceError(WordmaskError, RuntimeError):
    """The requested device or execution provider is not available."""


class NumericError(WordmaskError, ArithmeticError):
    """A graph produced NaN or infinity."""


class VocabularyError(WordmaskError, ValueError):
    """The list of words is empty or contains an empty word."""


class MissingExtraError(WordmaskError, ImportError):
    """A command needs an optional dependency that is not installed."""

    def __init__(self, command: str, extra: str, module: str) -> None:
        hint = install_hint(extra)
        super().__init__(
            f"{command} needs the package {module!r}, which is not installed: {hint} in wordmask's checkout"
        )


class HubError(WordmaskError, OSError):
    """A file cannot be had from the Hugging Face hub. `code` is a short name of the reason.

    Codes: OFFLINE, UNREACHABLE, CERTIFICATE, NOT_A_HUB, TOKEN, LICENCE, REFUSED, NOT_FOUND, NO_FILE, TOO_LARGE,
    LIMITED, UNAVAILABLE, BROKEN, CHECKSUM, DISK_FULL, NOT_WRITABLE.

    Attributes:
        code: one of the codes.
        transient: whether asking again may succeed.
        wait: seconds that the hub asks to wait first; None if it says nothing.
    """

    def __init__(self, code: str, message: str, *, transient: bool = False, wait: float | None = None) -> None:
        super().__init__(message)
        self.code, self.transient, self.wait = code, transient, wait


class OutputError(WordmaskError, OSError):
    """Results could not be written."""


class ReadError(WordmaskError, OSError):
    """What a command was given cannot be read."""


class ResumeError(WordmaskError, ValueError):
    """A run cannot go on in this output folder: an earlier one was another, or one is under way."""


class ConversionError(WordmaskError, ValueError):
    """A run's results, or one photo's, cannot be put into another format."""


class PhotoError(WordmaskError, ValueError):
    """One photo cannot be used. `code` is the short name that stands in the journal.

    Codes: EMPTY, FORMAT, TRUNCATED, DECODE, CORRUPT, TOO_LARGE, DEPTH, UNSUPPORTED, IO, NUMERIC, OOM;
    in journals also QUARANTINED and INTERNAL.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EngineError(WordmaskError, RuntimeError):
    """A TensorRT engine is missing, does not fit this machine, or must not be trusted."""


class ClusterError(WordmaskError, RuntimeError):
    """A cluster is not there, has no room, or its workers cannot do their work."""
