"""JSON into dataclasses, strictly: every field known, present and of its annotated type, or an error that names it."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wordmask.errors import ManifestError


def parse_as(kind: Any, value: Any, where: str) -> Any:
    """Turns JSON into the annotated type; `where` names the field in errors."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise ManifestError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return tuple(parse_as(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_is(list, value, where)))
    if origin is dict:
        return {k: parse_as(arguments[1], item, f"{where}.{k}") for k, item in _is(dict, value, where).items()}
    if kind is float and type(value) is int:
        return float(value)
    return _is(kind, value, where)


def _parse_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is type(value):
            return value
    compound = [kind for kind in kinds if is_dataclass(kind)]
    if compound:
        return parse_as(compound[0], value, where)
    raise ManifestError(f"{where} is {value!r}, expected {' or '.join(kind.__name__ for kind in kinds)}")


def _parse_dataclass(kind: Any, value: Any, where: str) -> Any:
    members = _is(dict, value, where)
    hints = get_type_hints(kind)
    unknown = sorted(set(members) - set(hints))
    if unknown:
        raise ManifestError(f"{where}.{unknown[0]} is not a field this version knows")
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(required - set(members))
    if missing:
        raise ManifestError(f"{where}.{missing[0]} is missing")
    return kind(**{name: parse_as(hints[name], item, f"{where}.{name}") for name, item in members.items()})


def _is(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not kind:  # type(), not isinstance: true is an int to isinstance
        raise ManifestError(f"{where} is {_short(value)}, expected {kind.__name__}")
    return value


def _short(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= 60 else text[:57] + "..."
