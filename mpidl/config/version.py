"""The version of mpidl, and the commit that it is checked out at or was built from."""

import json
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = Path(__file__).resolve().parents[1]

BUILT = re.compile(r"\+g([0-9a-f]+)(\.d[0-9]+)?$")
"""What setuptools-scm adds to a version: the commit, and a date if files had changed since."""


def number() -> str:
    """The version, as of the installation; without what it says of the commit."""
    return _installed().partition("+")[0]


def commit() -> str:
    """The git commit, ``+`` if files changed since; empty where nobody knows.

    That of a checkout is the present one, in full; that of an installed copy is as short as the
    build wrote it.
    """
    if not _checkout():
        built = BUILT.search(_installed())
        return built[1] + ("+" if built[2] else "") if built else ""
    git = ["git", "-C", str(PACKAGE.parent)]
    try:
        found = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip() + ("+" if changed.stdout else "")


def told() -> str:
    """What ``--version`` prints: version and commit on one line."""
    return f"mpidl {number()}, commit {commit() or 'unknown'}"


def _checkout() -> bool:
    return (PACKAGE.parent / ".git").exists()


def _installed() -> str:
    """The version of the installation to which this package belongs; else the first to come."""
    for found in metadata.distributions(name="mpidl"):
        if _place(found) == PACKAGE:
            return found.version
    try:
        text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
        fallback: str = tomllib.loads(text)["tool"]["setuptools_scm"]["fallback_version"]
    except (OSError, ValueError, KeyError):
        return "unknown"
    return fallback


def _place(found: metadata.Distribution) -> Path:
    """The package of an installation: its own copy, or the checkout of an editable one."""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return (Path(unquote(urlsplit(origin["url"]).path)) / "mpidl").resolve()
    return Path(str(found.locate_file("mpidl"))).resolve()
