"""The run file in a results file, as settings that a report can work with."""

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
"""Settings that are in every run file, and their types; whole numbers are at least 1."""

WHOLE = 2**63
"""Below it are the whole numbers of a run file."""

DEEP = 2
"""Lists within each other that a setting may be: outages are a list of lists."""


def flat(path: Path, text: str) -> dict[str, Any]:
    """The settings in the text of a run file, as ``"section.key"``, and its name.

    Raises:
        Fault: If it is no run file.
    """
    try:
        said = toml.read(text)
    except Fault:
        raise Fault(f"{path} is damaged: the run file in it is not TOML.") from None
    found: dict[str, Any] = {}
    for section, table in said.items():
        if isinstance(table, Mapping):
            found |= {f"{section}.{key}": value for key, value in table.items()}
        else:
            found[section] = table
    for key, kind in SETTINGS.items():
        value = found.get(key)
        if type(value) is not kind or (isinstance(value, int) and value < 1):
            raise Fault(f"{path} is damaged: its run file has no {key} that makes sense.")
    for key, value in found.items():
        if not _sensible(value):
            raise Fault(
                f"{path} is damaged: its run file has {printable(key)} = {shown(value)}; a setting "
                "is text, a number, true or false, or a list of these or of such lists."
            )
    return {printable(key): _printable(value) for key, value in found.items()}


def _sensible(value: Any, deep: int = 0) -> bool:
    if isinstance(value, list):
        return deep < DEEP and all(_sensible(one, deep + 1) for one in value)
    if isinstance(value, int):
        return -WHOLE <= value < WHOLE
    return isinstance(value, str | float)


def _printable(value: Any) -> Any:
    if isinstance(value, list):
        return [_printable(one) for one in value]
    return printable(value) if isinstance(value, str) else value
