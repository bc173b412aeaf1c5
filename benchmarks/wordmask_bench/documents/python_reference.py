"""Generates docs/python.md, the Python reference, from signatures and docstrings.

python -m wordmask_bench.documents.python_reference docs/python.md
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, is_typeddict

import wordmask

Named = Callable[..., Any]
HEAD = """# Python reference

Made from the source by `python -m wordmask_bench.documents.python_reference docs/python.md`; a test compares the two.

Arrays are numpy's: u8 is uint8, f32 float32, i64 int64; their shapes stand in brackets, H and W being a photo's height
and width. Positions and sizes are in pixels, x and y counted from the top left corner. `Floats` is an f32 array,
`BoolMask` a bool array, `Photo` among a `Segmenter`'s arguments u8 (H, W, 3), `Source` a photo of any kind that a
`Segmenter` is called with, `Words` one string or several. Every error that wordmask raises on
purpose is a `WordmaskError`, and one of Python's own kinds besides. What the stages follow:

| stage | source |
|---|---|
| CLIP's dense features, windows, templates, softmax | [SCLIP](https://arxiv.org/abs/2312.01597) and its code |
| upsampled features | [LoftUp](https://arxiv.org/abs/2504.14032) and its code |
| masks | [SAM2](https://arxiv.org/abs/2408.00714): `SAM2ImagePredictor` of the package sam2 |
| run-length code | pycocotools, common/maskApi.c |
| `wordmask.compat` | the scripts named in [migrating.md](migrating.md) |
"""
SECTIONS = (
    ("Top of the package", "wordmask", tuple(wordmask.__all__)),
    ("Words", "wordmask.text.vocabulary", ("Vocabulary", "ClassLine")),
    ("What goes in and comes out", "wordmask.types", ("Segmentation", "Prompt", "EncodedPhoto", "RLE")),
    ("What a stream gives beside results", "wordmask.result", ("FailedPhoto",)),
    ("Between the pipeline's steps", "wordmask.pipeline", ("Queries", "StageTimer")),
    ("Class maps", "wordmask.dense.classmap", ("ClassMap",)),
    ("Masks", "wordmask.rle", ("decode", "decode_box", "encode", "area")),
    ("Photos", "wordmask.photo", ("decode", "load", "Photo")),
    ("Pictures of results", "wordmask.formats.overlay", ("draw",)),
    ("Prompts", "wordmask.objects.prompts", ("extract_prompts",)),
    ("Bundles", "wordmask.bundle", ("find_bundle", "open_bundle", "Bundle")),
    ("SAM2 checkpoints", "wordmask.compat.checkpoint_bundle", ("bundle_of_checkpoint",)),
    ("The PyTorch pipeline's names", "wordmask.compat", None),
    ("Errors", "wordmask.errors", None),
)
_HEADING = re.compile(r"(Args|Returns|Raises|Attributes|Keys|Yields):(.*)")
_ENTRY = re.compile(r"([*\w]+(?:, [*\w]+)*): (.*)")


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, module, names in SECTIONS:
        parts.append(f"## {title}: `{module}`\n")
        parts += [_entry(name, thing) for name, thing in public(module, names)]
    return "\n".join(parts)


def public(module: str, names: tuple[str, ...] | None) -> Iterator[tuple[str, Named]]:
    """The names of a section with their objects; None selects all public names of the module."""
    loaded = importlib.import_module(module)
    if names is None:
        own = [name for name, thing in vars(loaded).items() if getattr(thing, "__module__", "") == module]
        shown = [name for name in own if not name.startswith("_") and name not in wordmask.__all__]
        names = getattr(loaded, "__all__", None) or tuple(shown)
    for name in names:
        yield name, getattr(loaded, name)


def _entry(name: str, thing: Named) -> str:
    lines = [f"### {name}\n", f"`{title(name, thing)}`\n", prose(thing)]
    if inspect.isclass(thing):
        own = members(thing)
        if getattr(own.get("__init__"), "__doc__", None) and not is_dataclass(thing):
            lines.append(prose(own["__init__"]))
        for member, what in own.items():
            if member.startswith("_") and member != "__call__":
                continue
            if isinstance(what, property):
                lines.append(f"#### .{member}\n\n{prose(what)}")
            elif inspect.isfunction(what) or isinstance(what, classmethod):
                call = f"{name.lower()}()" if member == "__call__" else f".{member}()"
                lines.append(f"#### {call}\n\n`{call[:-2]}{signature(getattr(thing, member))}`\n\n{prose(what)}")
    source = thing.__module__.replace(".", "/")
    lines.append(f"Source: [{thing.__module__}](../runtime/{source}.py).\n")
    return "\n".join(lines)


def members(thing: type) -> dict[str, object]:
    """What a class has from its bases in wordmask, and of its own."""
    found: dict[str, object] = {}
    for base in reversed(thing.__mro__):
        found |= vars(base) if base.__module__.partition(".")[0] == "wordmask" else {}
    return found


def title(name: str, thing: Named) -> str:
    """A function or class with its parameters, an error with its base classes."""
    if is_typeddict(thing):
        return f"{name}(TypedDict)"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return f"{name}({', '.join(base.__name__ for base in thing.__bases__)})"
    return f"{name}{signature(thing)}"


def signature(thing: Named) -> str:
    """Parameters and return type as in the source; the defaults of a dataclass are those of its fields."""
    shown: list[str] = []
    defaults = {}
    if is_dataclass(thing):
        defaults = {field.name: field.default for field in fields(thing) if field.default is not MISSING}
    found = inspect.signature(thing)
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        text = f"{stars}{parameter.name}: {parameter.annotation}"
        if parameter.default is not parameter.empty:
            default = defaults.get(parameter.name, parameter.default)
            text += f" = {default.__name__ if inspect.isfunction(default) else repr(default)}"
        shown.append(text)
    returned = found.return_annotation
    arrow = "" if inspect.isclass(thing) or returned in (None, "None", found.empty) else f" -> {returned}"
    return f"({', '.join(shown)}){arrow}"


def prose(thing: object) -> str:
    """A Google-style docstring as Markdown; its sections become lists."""
    lines: list[str] = []
    inside = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        heading, entry = _HEADING.fullmatch(line), _ENTRY.fullmatch(line.strip())
        if heading:
            inside = True
            lines += [f"{heading[1]}:{heading[2]}", ""]
        elif not line.startswith(" "):
            inside = inside and not line
            lines.append(line)
        elif inside and entry and line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- `{entry[1].replace(', ', '`, `')}`: {entry[2]}")
        else:
            lines.append(f"  {line.strip()}" if lines and lines[-1].startswith(("-", "  ")) else line.strip())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
