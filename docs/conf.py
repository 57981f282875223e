"""Sphinx settings; `make docs` builds the site into build/docs."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

project = "pseudo-anomaly"
copyright = "its contributors, MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "settings_tables"]
exclude_patterns = ["README.md"]
smartquotes = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {
    "show_prev_next": False,
    "navbar_center": [],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["globaltoc.html"]}
html_show_sourcelink = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
# The notebook holds its outputs, which tests/test_notebook.py compares with those of a run.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 80
napoleon_google_docstring = True

#: Files beside the site that pages link to, as a code host shows them, and the page for each.
OUTSIDE = {
    "../data_manifests/README.md": "data-manifests.md",
    "../CONTRIBUTING.md": "contributing.md",
}


def link_inside(app, docname, source):
    """Point links that leave docs/ to the pages that show those files."""
    source[0] = re.sub(
        r"\]\((\.\./[^)#]+)", lambda found: f"]({OUTSIDE.get(found[1], found[1])}", source[0]
    )


def setup(app):
    """Connect the hook above."""
    app.connect("source-read", link_inside)
