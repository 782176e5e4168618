"""Resolved run files, as stored in results files, flattened to settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpidl.config import toml
from mpidl.config.faults import Fault, printable, shown

SETTINGS = {
    "name": str,
    "data.name": str,
    "strategy.name": str,
    "training.rounds": int,
    "training.epochs": int,
}
"""Settings that every resolved run file has, and their types; integers are at least 1."""

OPEN = "training.rounds"
"""The one of them that the file of a loop may lack, whose rounds were not known before its end."""

WHOLE = 2**63
"""Integers of a run file are below this."""

TABLES = 2
"""Deepest nesting of tables: a section may have one of an optimizer's settings."""

DEEP = 2
"""Deepest nesting of lists in a setting: outages are a list of lists."""


def flat(path: Path, text: str) -> dict[str, Any]:
    """The settings in the text of a run file, as ``"section.key"``, and its name.

    Raises:
        Fault: If the text is not a run file.
    """
    try:
        tables = toml.read(text)
    except Fault:
        raise Fault(f"{path} is damaged: the run file in it is not TOML.") from None
    settings: dict[str, Any] = {}
    for section, table in tables.items():
        settings |= _flat(section, table)
    for key, kind in SETTINGS.items():
        if key == OPEN and key not in settings:
            continue
        value = settings.get(key)
        if type(value) is not kind or (isinstance(value, int) and value < 1):
            raise Fault(f"{path} is damaged: its run file has no valid {key}.")
    for key, value in settings.items():
        if not _valid(value):
            raise Fault(
                f"{path} is damaged: its run file has {printable(key)} = {shown(value)}; a setting "
                "is text, a number, true or false, or a list of these or of such lists."
            )
    return {printable(key): _printable(value) for key, value in settings.items()}


def _flat(key: str, value: Any, deep: int = TABLES) -> dict[str, Any]:
    """A table's values by their keys with dots; of a value that is no table, itself."""
    if not isinstance(value, Mapping) or not deep:
        return {key: value}
    parts = (_flat(f"{key}.{inner}", one, deep - 1) for inner, one in value.items())
    return {place: one for part in parts for place, one in part.items()}


def _valid(value: Any, deep: int = 0) -> bool:
    if isinstance(value, list):
        return deep < DEEP and all(_valid(item, deep + 1) for item in value)
    if isinstance(value, int):
        return -WHOLE <= value < WHOLE
    return isinstance(value, str | float)


def _printable(value: Any) -> Any:
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value
