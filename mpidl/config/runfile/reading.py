"""Reading of run files from TOML, with validation."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpidl.config import shipped, toml
from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Kinds, nearest
from mpidl.config.runfile.settings import SECTIONS, RunFile, TopologySettings

PATHS = (("topology", "file"), ("topology", "base"), ("data", "dir"))
"""Settings that are paths, by section and key."""

NAME_BYTES = 200
"""Most bytes of a name, so that file systems take the names of its files."""


def read(source: Path | str, overrides: Sequence[str] = (), kinds: Kinds | None = None) -> RunFile:
    """Read a run file and check all of it.

    Args:
        source: The path of a TOML file, or TOML text.
        overrides: ``section.key=value`` each, in the order of the command line.
        kinds: The registry of each section that names a builder.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    tables = toml.read(source)
    if isinstance(source, str):
        override(tables, overrides, kinds or {})
        return validate(tables, kinds or {})
    tables.setdefault("name", source.stem)
    override(tables, overrides, kinds or {})
    return placed(validate(tables, kinds or {}), [shipped.find(source).parent], overrides)


def placed(file: RunFile, folders: Sequence[Path], overrides: Sequence[str] = ()) -> RunFile:
    """A run file whose relative paths hold from the current folder.

    A path beside the run file has precedence. Any other path is unchanged: it is looked for in the
    current folder, and among the shipped files, when it is opened.

    Args:
        file: The run file as it was read.
        folders: The folder of the run file; for a study those of its base file and of itself.
        overrides: The overrides of the command line, whose paths hold from the current folder.

    Raises:
        Fault: If the file of the graph is at none of these places.
    """
    overridden = {text.partition("=")[0].strip() for text in overrides}
    for section, key in PATHS:
        table = getattr(file, section)
        path = getattr(table, key, None)
        if not isinstance(path, str) or f"{section}.{key}" in overridden:
            continue
        if key == "base" and not Path(path).suffix:
            continue  # a family of graphs
        resolved = shipped.beside(path, *folders)
        if resolved != path:
            file = replace(file, **{section: table.model_copy(update={key: resolved})})
        elif key == "file" and not os.path.exists(shipped.find(Path(path))):
            where = shipped.sought(Path(path), f"beside the run file ({folders[0].absolute()})")
            raise Fault(f"topology.file = {shown(path)}: there is no such file{where}.")
    return file


def override(tables: toml.Tables, overrides: Sequence[str], kinds: Kinds) -> None:
    """Put overrides, ``section.key=value``, into a run file's tables; see ``toml.override``."""
    _prefer(tables, {text.partition("=")[0].strip() for text in overrides})
    toml.override(tables, overrides, SECTIONS, kinds)


def lay_over(tables: toml.Tables, piece: Mapping[str, Any], kinds: Kinds) -> None:
    """Put a piece of a run file, with any of its settings, over the file's tables.

    Raises:
        Fault: If a section of the piece is unknown or not a table.
    """
    settings = []
    for section, table in piece.items():
        if section not in SECTIONS:
            raise Fault(f"Unknown section [{section}]; {nearest(section, SECTIONS)}")
        if not isinstance(table, Mapping):
            raise Fault(f"{section} = {shown(table)}: must be a table, written [{section}].")
        settings += [(section, key, value) for key, value in table.items()]
    _prefer(tables, {f"{section}.{key}" for section, key, _ in settings})
    toml.put(tables, settings, SECTIONS, kinds)


def validate(tables: toml.Tables, kinds: Kinds) -> RunFile:
    """Check the tables of a run file; see :func:`read`."""
    faults: list[str] = []
    name = tables.get("name", "run")
    if not isinstance(name, str) or not _names_file(name):
        faults.append(
            f"name = {shown(name)}: must be a file name of 1 to {NAME_BYTES} bytes, without '/' "
            "and without a leading dot."
        )
    known = [*SECTIONS, "name"]
    faults += [
        f"Unknown section [{key}]; {nearest(key, known)}" for key in tables if key not in known
    ]
    topology = tables.get("topology")
    graph = topology if isinstance(topology, dict) else {}
    stored = graph.get("file") is not None
    if stored and "name" in graph:
        faults.append(
            f"topology.name = {shown(graph['name'])}: must not be set beside topology.file, as a "
            "graph comes either from a family or from a file."
        )
    sections = {}
    for key, section in SECTIONS.items():
        registry = None if key == "topology" and stored else kinds.get(key)
        try:
            sections[key] = toml.check(key, section, tables.get(key, {}), registry)
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    return RunFile(name=name, **sections)


def _prefer(tables: toml.Tables, paths: Container[str]) -> None:
    """Let the settings that are laid over decide whether the graph comes from family or file."""
    topology = tables.get("topology")
    if isinstance(topology, dict) and "topology.file" in paths:
        tables["topology"] = {
            k: v for k, v in topology.items() if k in {*TopologySettings.model_fields} - {"name"}
        }
    elif isinstance(topology, dict) and "topology.name" in paths:
        topology.pop("file", None)


def _names_file(name: str) -> bool:
    fit = name.isprintable() and 0 < len(name.encode()) <= NAME_BYTES
    return fit and "/" not in name and not name.startswith(".")
