"""JSON into dataclasses, strictly: every field known, present and of its annotated type, or an error that names it."""

from __future__ import annotations

import json
import math
import stat
import types
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wordmask.bundle.failed_downloads import what_is
from wordmask.errors import ManifestError

_MOST_BYTES = 16 << 20  # of a JSON file


def parse_as(kind: Any, value: Any, where: str) -> Any:
    """Turns JSON into the annotated type; `where` names the field in errors."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise ManifestError(f"{where} is {show(value)}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return tuple(parse_as(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_is(list, value, where)))
    if origin is dict:
        return {k: parse_as(arguments[1], item, member(where, k)) for k, item in _is(dict, value, where).items()}
    if kind is float:
        return _parse_float(value, where)
    return _is(kind, value, where)


def read_json(path: Path) -> Any:
    """Reads a small JSON file; see load_json.

    Raises:
        ManifestError: it is not a regular file, cannot be read, is far too large, or is not JSON; names the file.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # a link, a folder; a pipe would block
            raise ManifestError(f"{path}: is not a regular file (a link's file can be copied there with cp -L)")
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > _MOST_BYTES:
        raise ManifestError(f"{path}: has more than {_MOST_BYTES >> 20} MiB, expected a small JSON file")
    try:
        return load_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text") from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}{what_is(path)}") from error


def load_json(text: str) -> Any:
    """Parses JSON as the standard has it: without NaN and Infinity, and no member twice.

    Raises:
        ManifestError: names the field that is wrong.
    """
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not valid JSON ({error})") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {show(twice)} occurs twice")
    return members


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _parse_float(value: Any, where: str) -> float:
    try:
        number = float(value) if type(value) is int else float(_is(float, value, where))
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ManifestError(f"{where} is {show(value)}, expected a finite number")
    return number


def _parse_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is type(value):
            return value
    compound = [kind for kind in kinds if is_dataclass(kind) or get_origin(kind) is Literal]
    if compound:
        return parse_as(compound[0], value, where)
    raise ManifestError(f"{where} is {show(value)}, expected {' or '.join(kind.__name__ for kind in kinds)}")


def _parse_dataclass(kind: Any, value: Any, where: str) -> Any:
    members = _is(dict, value, where)
    hints = get_type_hints(kind)
    unknown = sorted(set(members) - set(hints))
    if unknown:
        raise ManifestError(f"{member(where, unknown[0])} is not a field this version knows")
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(required - set(members))
    if missing:
        raise ManifestError(f"{where}.{missing[0]} is missing")
    return kind(**{name: parse_as(hints[name], item, f"{where}.{name}") for name, item in members.items()})


def _is(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not kind:  # type(), not isinstance: true is an int to isinstance
        raise ManifestError(f"{where} is {show(value)}, expected {kind.__name__}")
    return value


def member(where: str, name: str) -> str:
    """The place of a member in messages; a name that is no plain word is quoted, so that it steers no terminal."""
    return f"{where}.{name}" if name.isidentifier() else f"{where}[{show(name)}]"


def show(value: Any) -> str:
    """A value for messages: short, and without characters that steer a terminal."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
