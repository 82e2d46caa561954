"""Builds the documentation: Markdown by MyST, the look by furo, tables from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import grantkeeper
import reference_tables

project = "grantkeeper"
author = "The grantkeeper developers"
copyright = "the grantkeeper developers"
version = release = grantkeeper.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"grantkeeper {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

default_role = "code"
autodoc_typehints = "description"
# Not the arguments of constructors that nobody calls.
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
# The built documentation links nowhere outside, so that it can be built and read without a network.
nitpick_ignore_regex = [("py:.*", ".*")]


def _fill_tables(app: object, name: str, source: list[str]) -> None:
    source[0] = reference_tables.filled(source[0])


def setup(app: object) -> None:
    app.connect("source-read", _fill_tables)  # type: ignore[attr-defined]
