"""The documentation site: python -m sphinx -W -c docs . site

Sphinx reads the checkout itself and not this folder alone: links between pages, READMEs and source files are the same
in the site and where a forge shows the files, and all are checked. README.md is the first page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "runtime"))  # autodoc imports the package of this checkout

project = "wordmask"
project_copyright = "2026, the wordmask authors"
root_doc = "README"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [  # without the texts that are data of the packages
    *(
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/**",
        "benchmarks/*.md",
        "benchmarks/results/**",
    ),
    *("models_cache/tiny/**", "examples/**", "tests/interop/**"),
]
exclude_patterns = [".*", "build", "dist", "out", "site", "runtime", "export"]

NAVIGATION = {  # pages of docs by task; a page that is not named here stands under "More"
    "Use": "segment words thresholds python outputs convert report demo resume troubleshooting features",
    "Set up": "build first-build bundles published-models devices docker engines migrating",
    "Many photos": "ray serving scale",
    "Measure": "evaluation bench gpu_check",
    "Reference": "reference architecture faults licences alternatives release",
}
PROJECT = ("CONTRIBUTING", "SECURITY", "CHANGELOG")

html_theme = "furo"
html_title = "wordmask"
html_copy_source = False
html_additional_pages = {"index": "redirect.html"}  # README.html is the first page
templates_path = ["templates"]
myst_heading_anchors = 4  # by the rules that forges use
default_role = "code"  # single backticks in docstrings
napoleon_use_ivar = True  # attributes of dataclasses are described once
napoleon_use_rtype = napoleon_attr_annotations = False  # the signature has the types
autodoc_member_order = "bysource"
autoclass_content = "both"  # the class's docstring, and that of __init__ with its arguments
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    name: name for name in ("BoolMask", "Floats", "MaskSource", "Photo", "PromptSource", "Source", "Words")
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def tables_of_contents(pages: set[str]) -> str:
    """The navigation as Markdown: each of the found pages once.

    Args:
        pages: all pages but the first, relative to the checkout, without suffix.
    """
    left = set(pages)
    parts = []
    for title, names in NAVIGATION.items():
        listed = [f"docs/{name}" for name in names.split() if f"docs/{name}" in left]
        parts.append((title, listed))
        left -= set(listed)
    more = sorted(name for name in left if name.startswith("docs/"))
    project = [name for name in PROJECT if name in left]
    parts += [("More", more), ("Project", project), ("In other folders", sorted(left - {*more, *project}))]
    fence = "```"
    return "\n".join(
        f"\n{fence}{{toctree}}\n:hidden:\n:caption: {title}\n\n"
        + "\n".join(f"/{name}" for name in listed)
        + f"\n{fence}\n"
        for title, listed in parts
        if listed
    )


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Puts the navigation at the end of the first page; the file itself stays as a forge shows it."""
    if name == root_doc:
        source[0] += tables_of_contents(app.project.docnames - {root_doc})


def part_names(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Gives each of several names a line, where a docstring describes them together: napoleon knows one name a line."""
    parted: list[str] = []
    for line in lines:
        found = re.fullmatch(r"( +)(\w+(?:, \w+)+): (.*)", line)
        parted += [f"{found[1]}{each}: {found[3]}" for each in found[2].split(", ")] if found else [line]
    lines[:] = parted


def plain_aliases(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Shows array types as the source writes them: by an alias, or as NDArray[dtype]."""

    def plain(text: str | None) -> str | None:
        text = text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
        array = r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]"
        return text and re.sub(array, r"NDArray[\1]", text)

    return plain(signature), plain(returns)


def setup(app: Sphinx) -> None:
    """Registers what is above, the docstrings' part before napoleon (500)."""
    app.connect("autodoc-process-signature", plain_aliases)
    app.connect("source-read", add_navigation)
    app.connect("autodoc-process-docstring", part_names, priority=400)
