"""Names of a run's outputs: those of the photos, changed only where a file system could not hold them side by side."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from wordmask.outputs.layout import FILES

SUFFIXES = tuple(sorted(set(FILES.values())))
LONGEST = 255 - max(map(len, SUFFIXES))  # bytes
# Windows keeps these, with any suffix, for devices.
_PORTS = (f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789\u00b9\u00b2\u00b3")
RESERVED = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$", *_PORTS))
_REFUSED = str.maketrans(dict.fromkeys(':?*"<>|\\', "_"))  # by Windows, and so by many drives of a network


def output_names(photos: Sequence[Path]) -> list[str]:
    """A name of its own for each photo: a relative path without suffix that stays below the output folder.

    Where photos would share a name (a.jpg and a.png, or A.jpg and a.jpg), they keep their suffix, and a number follows
    if that is not enough. What some file system cannot hold is changed as little as possible.

    Args:
        photos: relative paths without `..`.
    """
    short = [_spell(path, _without_suffix(path.name)) for path in photos]
    sharing = Counter(map(_key, short))
    taken: set[str] = set()
    names = []
    for path, name in zip(photos, short, strict=True):
        alone = [name] if sharing[_key(name)] == 1 else []
        numbered = (_spell(path, f"{path.name}-{number}") for number in count(2))
        free = next(wish for wish in chain(alone, [_spell(path, path.name)], numbered) if _key(wish) not in taken)
        taken.add(_key(free))
        names.append(free)
    return names


def _without_suffix(name: str) -> str:
    stem = name.removesuffix(Path(name).suffix)
    return name if stem in ("", ".", "..") else stem


def _key(name: str) -> str:
    """Equal for names that some file system does not distinguish."""
    return unicodedata.normalize("NFC", name.casefold())


def _spell(path: Path, name: str) -> str:
    # a folder "a.png" would be in the way of the output a.png
    folders = (f"{part}_" if part.casefold().endswith(SUFFIXES) else part for part in path.parent.parts)
    return str(Path(*map(_allowed, folders), _allowed(name)))


def _allowed(part: str) -> str:
    part = part.translate(_REFUSED)
    kept = part.rstrip(". ")  # Windows removes these
    part = kept + "_" * (len(part) - len(kept))
    if part.split(".", maxsplit=1)[0].strip().casefold() in RESERVED:
        part = f"_{part}"
    raw = os.fsencode(part)
    if len(raw) <= LONGEST:
        return part
    mark = f"~{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: LONGEST - len(mark)].decode("utf-8", "ignore") + mark
