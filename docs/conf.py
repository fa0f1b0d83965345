"""How Sphinx makes the documentation's pages: `.ci/site FOLDER` runs it. Why Sphinx: docs/decisions/0022-documentation.md."""

import re
from pathlib import Path
from typing import Any

import depthwise

project = "Depthwise"
author = "The authors of Depthwise"
version = release = depthwise.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "docs/**.rst", "src/depthwise/data/*.md", "benchmarks/README.md"]
exclude_patterns = [".*", "build", "dist", "node_modules", "shared", "tests", "web"]
html_theme = "furo"
html_title = "Depthwise"
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # the README of a package may begin where it likes

autodoc_member_order = "alphabetical"
autodoc_typehints = "none"  # the arguments are described in words
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Input shape", "Output shape", "Number of parameters"]

_CODE = re.compile(r"(``.+?``|`[^`]+`)")


def _as_restructured_text(text: str) -> str:
    """A line of our docstrings, in which `code` has single backticks and every other sign means itself."""
    parts = _CODE.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([*|\\])", r"\\\1", re.sub(r"(?<=\w)_(?!\w)", r"\\_", parts[index]))
    for index in range(1, len(parts), 2):
        parts[index] = "``" + parts[index].strip("`") + "``"
        if index + 1 < len(parts) and re.match(r"\w", parts[index + 1]):
            parts[index + 1] = "\\ " + parts[index + 1]
        if re.search(r"\w$", parts[index - 1]):
            parts[index - 1] += "\\ "
    return "".join(parts)


def _rewrite(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for `help`: plain text with sections and examples."""
    example = False
    new: list[str] = []
    for line in lines:
        starts = line.lstrip().startswith(">>>")
        if starts and not example and new and new[-1].strip():
            new.append("")
        example = starts or (example and bool(line.strip()))
        new.append(line if example else _as_restructured_text(line))
    lines[:] = new


_WITHIN = frozenset(
    {
        "called", "close_session", "connected", "description_class", "facts_for", "flags", "flat_layers", "forget_call",
        "from_graph", "from_tree", "held_numbers", "held_weights", "hold", "is_operation", "learn_usage", "leave_open", "of",
        "open_session", "packed", "settle", "symbolic_outputs", "training_graph",
    }
)  # fmt: skip
"""Members of models and layers that other parts of Depthwise call, and users do not."""


def _skip(app: Any, what: str, name: str, item: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out what is not for users, and what is not ours: `depthwise.ops` has functions of NumPy."""
    if name in _WITHIN:
        return True
    module = getattr(item, "__wrapped__", item)
    home = str(getattr(module, "__module__", "") or "")
    return True if callable(item) and not home.startswith("depthwise") else None


def _begin_at(app: Any, error: Exception | None) -> None:
    """The site's first page, where one looks for it."""
    page = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html"><title>Depthwise</title>'
    Path(app.outdir, "index.html").write_text(page, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _rewrite, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", _skip)
    app.connect("build-finished", _begin_at)
