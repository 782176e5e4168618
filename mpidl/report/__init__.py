"""Reports from results files: tables, figures, an animation and one page."""

from importlib.util import find_spec

NEEDED = ("jinja2", "matplotlib", "pandas", "pyarrow", "xarray")
"""Packages that only a report needs; they come with the extra ``report``."""


def missing() -> list[str]:
    """The packages that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]
