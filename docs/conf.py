"""Sphinx settings: Markdown by MyST, the API read from the docstrings, and no reference to ours left dangling."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "mallcore"
author = "mallcore contributors"
copyright = "mallcore contributors"
release = version = installed("mallcore")

extensions = ["myst_parser", "sphinx.ext.autodoc", "operations"]
exclude_patterns = ["_build", "_extensions"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"mallcore {release}"

# Docstrings use single backticks for names, as Markdown does.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
autodoc_default_options = {"members": True, "exclude-members": "model_config"}

nitpicky = True
nitpick_ignore_regex = [
    # Builds need no network, so names of other projects can't be linked; a broken name of our own is still an error.
    (r"py:.*", r"(?!mallcore\b).*"),
    # Private names and type variables.
    (r"py:.*", r"mallcore\..*\.(_\w+|[A-Z]|Port)"),
    # What public signatures mention but nobody needs to make.
    (r"py:.*", r"mallcore\.kernel\.(bus\.Follower|context\.Services|work\.Work)"),
    (r"py:.*", r"mallcore\.(opening\.Given|audit\.rules\.(exports\.Checked|notes\.Checkpoint))"),
    (r"py:.*", r"mallcore\.access\.(model\.oauth\.\w+|operations\.(logins|sessions)\.\w+)"),
    (r"py:.*", r"mallcore\.api\.(counting\.Counter|versions\.(calls|instructions|view)\.\w+)"),
    (r"py:.*", r"mallcore\.kernel\.context\.Credential"),
    (r"py:.*", r"mallcore\.structure\.(operations\.trees\.(Known|Trees)|rules\.tree\.Tree)"),
]
