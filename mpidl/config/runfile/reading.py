"""From TOML to a run file, validated."""

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
"""Size up to which a name makes file names in the results folder that a file system takes."""


def read(source: Path | str, overrides: Sequence[str] = (), kinds: Kinds | None = None) -> RunFile:
    """Read a run file and check all of it.

    Args:
        source: The path of a TOML file, or TOML text.
        overrides: ``section.key=value`` each, in the order of the command line.
        kinds: The registry of each section that names a builder.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    found = toml.read(source)
    if isinstance(source, str):
        override(found, overrides, kinds or {})
        return validate(found, kinds or {})
    found.setdefault("name", source.stem)
    override(found, overrides, kinds or {})
    return placed(validate(found, kinds or {}), [shipped.find(source).parent], overrides)


def placed(file: RunFile, folders: Sequence[Path], overrides: Sequence[str] = ()) -> RunFile:
    """A run file whose relative paths are told from the current folder.

    What is beside the run file is meant first. What is not there is left as it is: it is looked
    for in the current folder, and in what comes with the program, when it is opened.

    Args:
        file: As it was read.
        folders: Where it lies; of a study the folders of its base file and of itself.
        overrides: What the command line said; its paths are told from the current folder already.

    Raises:
        Fault: If the file of the graph is at none of these places.
    """
    own = {text.partition("=")[0].strip() for text in overrides}
    for section, key in PATHS:
        table = getattr(file, section)
        told = getattr(table, key, None)
        if not isinstance(told, str) or f"{section}.{key}" in own:
            continue
        if key == "base" and not Path(told).suffix:
            continue  # a family of graphs
        found = shipped.beside(told, *folders)
        if found != told:
            file = replace(file, **{section: table.model_copy(update={key: found})})
        elif key == "file" and not os.path.exists(shipped.find(Path(told))):
            where = shipped.sought(Path(told), f"beside the run file ({folders[0].absolute()})")
            raise Fault(f"topology.file = {shown(told)}: there is no such file{where}.")
    return file


def override(found: toml.Tables, overrides: Sequence[str], kinds: Kinds) -> None:
    """Put ``section.key=value`` each into the tables of a run file; see :func:`tables.override`."""
    _prefer(found, {text.partition("=")[0].strip() for text in overrides})
    toml.override(found, overrides, SECTIONS, kinds)


def lay_over(found: toml.Tables, piece: Mapping[str, Any], kinds: Kinds) -> None:
    """Put a piece of a run file, which may be any of its settings, over its tables.

    Raises:
        Fault: If a section of the piece is no table.
    """
    settings = []
    for section, table in piece.items():
        if section not in SECTIONS:
            raise Fault(f"Unknown section [{section}]; {nearest(section, SECTIONS)}")
        if not isinstance(table, Mapping):
            raise Fault(f"{section} = {shown(table)}: must be a table, written [{section}].")
        settings += [(section, key, value) for key, value in table.items()]
    _prefer(found, {f"{section}.{key}" for section, key, _ in settings})
    toml.put(found, settings, SECTIONS, kinds)


def validate(found: toml.Tables, kinds: Kinds) -> RunFile:
    """Check the tables of a run file; see :func:`read`."""
    faults: list[str] = []
    name = found.get("name", "run")
    if not isinstance(name, str) or not _names_file(name):
        faults.append(
            f"name = {shown(name)}: must be a file name of 1 to {NAME_BYTES} bytes, without '/' "
            "and without a leading dot."
        )
    known = [*SECTIONS, "name"]
    faults += [
        f"Unknown section [{key}]; {nearest(key, known)}" for key in found if key not in known
    ]
    topology = found.get("topology")
    graph = topology if isinstance(topology, dict) else {}
    stored = graph.get("file") is not None
    if stored and "name" in graph:
        faults.append(
            f"topology.name = {shown(graph['name'])}: goes without topology.file, as a graph "
            "comes either from a family or from a file."
        )
    sections = {}
    for key, section in SECTIONS.items():
        registry = None if key == "topology" and stored else kinds.get(key)
        try:
            sections[key] = toml.check(key, section, found.get(key, {}), registry)
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    return RunFile(name=name, **sections)


def _prefer(found: toml.Tables, paths: Container[str]) -> None:
    """Let what is set later, by these paths, say where the graph comes from."""
    topology = found.get("topology")
    if isinstance(topology, dict) and "topology.file" in paths:
        found["topology"] = {
            k: v for k, v in topology.items() if k in {*TopologySettings.model_fields} - {"name"}
        }
    elif isinstance(topology, dict) and "topology.name" in paths:
        topology.pop("file", None)


def _names_file(name: str) -> bool:
    fit = name.isprintable() and 0 < len(name.encode()) <= NAME_BYTES
    return fit and "/" not in name and not name.startswith(".")
