"""Version of mpidl, and the commit of its checkout or of its build."""

import json
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = Path(__file__).resolve().parents[1]

BUILT = re.compile(r"\+g([0-9a-f]+)(\.d[0-9]+)?$")
"""The part that setuptools-scm adds to a version: the commit, and a date if files had changed."""


def number() -> str:
    """The version of the installation, without its commit."""
    return _installed().partition("+")[0]


def commit() -> str:
    """The git commit, with ``+`` if files have changed since; empty if unknown.

    For a checkout it is the present commit, in full; for an installed copy the build's, shortened.
    """
    if not _checkout():
        built = BUILT.search(_installed())
        return built[1] + ("+" if built[2] else "") if built else ""
    git = ["git", "-C", str(PACKAGE.parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout else "")


def line() -> str:
    """The line that ``--version`` prints: version and commit."""
    return f"mpidl {number()}, commit {commit() or 'unknown'}"


def _checkout() -> bool:
    return (PACKAGE.parent / ".git").exists()


def _installed() -> str:
    """The version of the installation to which this package belongs, or of the next release."""
    for distribution in metadata.distributions(name="mpidl"):
        if _place(distribution) == PACKAGE:
            return distribution.version
    try:
        text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
        fallback: str = tomllib.loads(text)["tool"]["setuptools_scm"]["fallback_version"]
    except (OSError, ValueError, KeyError):
        return "unknown"
    return fallback


def _place(distribution: metadata.Distribution) -> Path:
    """The package of an installation: its own copy, or the checkout of an editable one."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return (Path(unquote(urlsplit(origin["url"]).path)) / "mpidl").resolve()
    return Path(str(distribution.locate_file("mpidl"))).resolve()
