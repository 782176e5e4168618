"""Settings of Sphinx, which makes the pages; ``MPIDL_DOCS_ONLINE=1`` lets it ask other sites."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "scripts")]

import api_pages  # noqa: E402
import mathml  # noqa: E402
import outside  # noqa: E402
import reexports  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

from mpidl.config import version as versions  # noqa: E402

project = "mpidl"
author = "the authors of mpidl"
version = release = versions.number()

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "jupyter_execute"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

# Names of other packages are known only where their lists of names can be fetched.
online = os.environ.get("MPIDL_DOCS_ONLINE") == "1"
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "mpi4py": ("https://mpi4py.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "networkx": ("https://networkx.org/documentation/stable", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
        "h5py": ("https://docs.h5py.org/en/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }
    if online
    else {}
)
linkcheck_ignore = [] if online else [r"https?://"]

nitpicky = True
# Several rooms have an Exchange or a Study; which one an annotation means is of no weight here.
suppress_warnings = ["ref.python"]
# What is not ours, private, or a variable of types has no entry here.
nitpick_ignore_regex = [("py:.*", r"(?!mpidl\.).*|mpidl\..*\._\w+|mpidl\..*\.[A-Z]")]

autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_mock_imports = ["lightning", "transformers", "triton"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "mpidl"
html_show_sourcelink = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["page.css"]
# Only algorithms and the API have pages below them.
html_sidebars = {"*": [], "outside/**": []}
html_theme_options = {
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
}


def setup(app: Sphinx) -> None:
    """Write the pages that are made, before Sphinx looks for pages."""
    api_pages.write(HERE / "api" / "generated")
    outside.write()
    app.connect("source-read", outside.read)
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
    app.add_post_transform(reexports.Foreign)
    app.connect("missing-reference", reexports.resolve)
