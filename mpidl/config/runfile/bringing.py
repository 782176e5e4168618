"""Code of the user's own that the tables of a run file name: it is loaded, and named anew."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpidl.config import plugins, toml
from mpidl.config.faults import shown
from mpidl.config.registry import Kinds, Registry
from mpidl.config.runfile.run_file import SECTIONS, USE

OTHERS: tuple[tuple[str, str], ...] = (("training", "optimizer"),)
"""Settings beside those of registries that may name code, by section and key."""


def begin(use: str | Sequence[str]) -> list[str]:
    """Load what is installed for mpidl, and what a command line names by ``--use``.

    Args:
        use: A file or module, or several; relative paths hold from the current folder.

    Returns:
        The same as a run file in any folder names them.

    Raises:
        Fault: If there is no such file or module.
        OwnError: If code raises an error when it is loaded.
    """
    plugins.load_installed()
    sources = [use] if isinstance(use, str) else use
    return [plugins.load(source, Path.cwd(), subject=f"--use {source}") for source in sources]


def add_use(tables: toml.Tables, places: Sequence[str]) -> None:
    """Add what is loaded already to what tables use; a mistake in ``use`` is left as it is."""
    used = tables.get(USE, [])
    if places and isinstance(used, list):
        tables[USE] = list(dict.fromkeys([*places, *used]))


def bring(
    tables: toml.Tables, kinds: Kinds, folders: Sequence[Path], chosen: Callable[[str], bool]
) -> None:
    """Load the code that tables name; then ``use`` has absolute paths, and names have no folder.

    Args:
        tables: The tables of a run file; changed in place.
        kinds: The registry of each section that names a builder.
        folders: Where relative paths are looked for before the current folder.
        chosen: Whether to look at a setting, ``"section.key"``, or at ``"use"``.

    Raises:
        Fault: If a name is wrong.
        OwnError: If code raises an error when it is loaded.
    """
    used = tables.get(USE)
    if chosen(USE) and isinstance(used, list) and all(isinstance(source, str) for source in used):
        subjects = (f"{USE} = {shown(source)}" for source in used)
        tables[USE] = [
            plugins.load(source, *folders, subject=subject)
            for source, subject in zip(used, subjects, strict=True)
        ]
    builders = [(section, toml.namer(SECTIONS[section]), kinds[section]) for section in kinds]
    for section, key, registry in [*builders, *((*other, None) for other in OTHERS)]:
        table = tables.get(section)
        if not isinstance(table, dict) or not chosen(f"{section}.{key}"):
            continue
        value = table.get(key)
        names = value if isinstance(value, list) else [value]
        found = [_brought(tables, f"{section}.{key}", name, registry, folders) for name in names]
        if found != names:
            table[key] = found if isinstance(value, list) else found[0]


def _brought(
    tables: toml.Tables,
    setting: str,
    name: Any,
    registry: Registry[Any] | None,
    folders: Sequence[Path],
) -> Any:
    """The name of code that a setting names, which is loaded; anything else as it is."""
    if not plugins.names_code(name):
        return name
    subject = f"{setting} = {shown(name)}"
    named = plugins.named(name, *folders, subject=subject)
    add_use(tables, named.files)
    return named.name if registry is None else registry.register(named, subject)
