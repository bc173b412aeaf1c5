"""What an error says of the photo at which it happened."""

from __future__ import annotations

from wordmask.backends.memory import is_out_of_memory
from wordmask.errors import NumericError, PhotoError


def photo_failure(error: Exception) -> PhotoError | None:
    """The PhotoError of a photo that raised this error; None where it tells nothing of the photo."""
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, NumericError):
        return PhotoError("NUMERIC", str(error))
    if is_out_of_memory(error):
        return PhotoError("OOM", "not enough memory for this photo")
    return None
