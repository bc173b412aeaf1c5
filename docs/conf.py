"""The documentation site: python -m sphinx -W -c docs . site

Sphinx reads the checkout itself and not this folder alone: links between pages, READMEs and source files are the same
in the site and where a forge shows the files, and all are checked. README.md is the first page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "runtime"))  # autodoc imports the package of this checkout

project = "wordmask"
project_copyright = "2026, the wordmask authors"
root_doc = "README"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    *(
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/**",
        "models_cache/tiny/*.md",
        "examples/*/*.md",
    ),
    *("benchmarks/*.md", "benchmarks/**/*.md", "tests/interop/*.md", "tests/interop/**/*.md"),
]
exclude_patterns = [".*", "build", "dist", "out", "site", "runtime", "export"]

NAVIGATION = {  # pages of docs by task; a page that is not named here stands under "More"
    "Use": "segment words thresholds python outputs convert report demo resume troubleshooting features",
    "Set up": "build first-build published-models devices engines migrating",
    "Many photos": "ray serving scale",
    "Measure": "evaluation bench gpu_check",
    "Reference": "reference architecture faults licences alternatives",
}

html_theme = "furo"
html_title = "wordmask"
html_copy_source = False
html_additional_pages = {"index": "redirect.html"}  # README.html is the first page
templates_path = ["templates"]
myst_heading_anchors = 4  # by the rules that forges use
default_role = "code"  # single backticks in docstrings
napoleon_use_ivar = True  # attributes of dataclasses are described once
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True


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
    docs = sorted(name for name in left if name.startswith("docs/") and name != "docs/release")
    parts += [("More", docs), ("Project", sorted(left - set(docs)))]
    fence = "```"
    return "\n".join(
        f"\n{fence}{{toctree}}\n:hidden:\n:caption: {title}\n\n"
        + "\n".join(f"/{name}" for name in listed)
        + f"\n{fence}\n"
        for title, listed in parts
        if listed
    )


def setup(app: Sphinx) -> None:
    """Puts the navigation at the end of the first page; the file itself stays as a forge shows it."""

    def add(app: Sphinx, name: str, source: list[str]) -> None:
        if name == root_doc:
            source[0] += tables_of_contents(app.project.docnames - {root_doc})

    app.connect("source-read", add)
