"""Sphinx settings: Markdown by MyST, the API read from the docstrings, and no reference to ours left dangling."""

from importlib.metadata import version as installed

project = "mallcore"
author = "mallcore contributors"
copyright = "mallcore contributors"
release = version = installed("mallcore")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"mallcore {release}"

# Docstrings use single backticks for names, as Markdown does.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

nitpicky = True
# Builds need no network, so names of other projects can't be linked; a broken name of our own is still an error.
nitpick_ignore_regex = [(r"py:.*", r"(?!mallcore\b).*")]
