"""Packages: mpidl and what it needs, and what its extras need."""

import platform
import re
import sys
from importlib import metadata

from mpidl.config import version
from mpidl.doctor.finding import Finding

NEED = re.compile(r"([\w.-]+)[^;>]*(?:>=([\d.]+))?[^;]*(?:; *extra *== *['\"](\w+)['\"])?")
"""A requirement as a wheel states it: package, lowest version, extra."""

EXTRAS = ("ensemble", "report", "data", "export", "completion")
"""Extras that a user may miss."""


def python() -> Finding:
    """Python itself, and where mpidl comes from."""
    found = f"{platform.python_version()}, {sys.executable}; mpidl from {version.PACKAGE}"
    return Finding("Python", found)


def packages() -> Finding:
    """The packages that mpidl needs, and its extras."""
    try:
        needs = [NEED.match(text) for text in metadata.requires("mpidl") or []]
    except metadata.PackageNotFoundError:
        note = "mpidl is not installed, so what it needs is not known here: pip install -e FOLDER."
        return Finding("packages", "mpidl runs from its folder", notes=(note,))
    lacks: dict[str, list[str]] = {}
    for name, least, extra in (need.groups() for need in needs if need is not None):
        if fault := _lacking(name, least):
            lacks.setdefault(extra or "", []).append(fault)
    wrong = [f"{fault}: pip install -U '{fault.split()[0]}'." for fault in lacks.get("", [])]
    whole = [extra for extra in EXTRAS if extra not in lacks]
    found = f"extras: {', '.join(whole) or 'none'}"
    if missing := [extra for extra in EXTRAS if extra in lacks]:
        found += f"; without {', '.join(missing)} (pip install 'mpidl[{','.join(missing)}]')"
    return Finding("packages", found, tuple(wrong))


def _lacking(name: str, least: str | None) -> str:
    """What is wrong with a package that is needed; empty if nothing is."""
    try:
        there = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    if least and _numbers(there) < _numbers(least):
        return f"{name} {there} is older than {least}"
    return ""


def _numbers(text: str) -> list[int]:
    """The numbers of a version, up to what no number begins."""
    release = re.match(r"[\d.]+", text)
    return [int(number) for number in re.findall(r"\d+", release[0] if release else "")]
