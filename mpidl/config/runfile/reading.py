"""Reading of run files from TOML, with validation."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpidl.config import own_code, shipped, toml
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.registry import Kinds
from mpidl.config.runfile.bringing import add_use, bring
from mpidl.config.runfile.run_file import SECTIONS, USE, RunFile
from mpidl.config.runfile.settings import TopologySettings

PATHS = (
    ("topology", "file"),
    ("topology", "base"),
    ("data", "dir"),
    ("data", "file"),
    ("data", "test_file"),
)
"""Settings that are paths, by section and key."""

NAME_BYTES = 200
"""Most bytes of a name, so that file systems take the names of its files."""


def read(
    source: Path | str,
    overrides: Sequence[str] = (),
    kinds: Kinds | None = None,
    use: Sequence[str] = (),
) -> RunFile:
    """Read a run file, load the code of the user's own that it names, and check all of it.

    Args:
        source: The path of a TOML file, or TOML text.
        overrides: ``section.key=value`` each, in the order of the command line.
        kinds: The registry of each section that names a builder.
        use: Code that is loaded already, as :func:`begin` returned it.

    Raises:
        Fault: With one sentence for every setting that is wrong.
        OwnError: If code raises an error when it is loaded.
    """
    tables, kinds = toml.read(source), kinds or {}
    folders = [] if isinstance(source, str) else [shipped.find(source).parent]
    bring(tables, kinds, folders, lambda key: key not in overridden(overrides))
    override(tables, overrides, kinds)
    add_use(tables, use)
    if isinstance(source, str):
        return validate(tables, kinds)
    tables.setdefault("name", source.stem)
    return placed(validate(tables, kinds), folders, overrides)


def stored(text: str, kinds: Kinds) -> dict[str, dict[str, Any]]:
    """The settings by section in the text of a resolved run file; no code is loaded.

    What a builder that is not there, or is not mpidl's, took is as the text has it.

    Raises:
        Fault: If the text is not a run file for this version of mpidl.
    """
    tables = toml.read(text)
    return {section: _stored(section, tables.get(section, {}), kinds) for section in SECTIONS}


def _stored(section: str, table: Any, kinds: Kinds) -> dict[str, Any]:
    kind, registry, rest = SECTIONS[section], kinds.get(section), dict[str, Any]()
    from_file = section == "topology" and isinstance(table, dict) and "file" in table
    if from_file or not isinstance(table, dict):
        registry = None
    name = None if registry is None else table.get(toml.namer(kind))
    if registry is not None and isinstance(name, str):
        if name not in registry:
            return dict(table)
        if own_code.of(registry[name]) is not None:
            known = {*kind.model_fields, *registry.settings(name).model_fields}
            rest = {key: value for key, value in table.items() if key not in known}
            table = {key: value for key, value in table.items() if key in known}
    return {**toml.check(section, kind, table, registry).model_dump(), **rest}


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
    for section, key in PATHS:
        table = getattr(file, section)
        path = getattr(table, key, None)
        if not isinstance(path, str) or f"{section}.{key}" in overridden(overrides):
            continue
        if key == "base" and not Path(path).suffix:
            continue  # a family of graphs
        resolved = shipped.beside(path, *folders)
        if resolved != path:
            file = replace(file, **{section: table.model_copy(update={key: resolved})})
        elif (section, key) == PATHS[0] and not os.path.exists(shipped.find(Path(path))):
            where = shipped.sought(Path(path), f"beside the run file ({folders[0].absolute()})")
            raise Fault(f"topology.file = {shown(path)}: there is no such file{where}.")
    return file


def override(tables: toml.Tables, overrides: Sequence[str], kinds: Kinds) -> None:
    """Put overrides, ``section.key=value``, into a run file's tables; see ``toml.override``.

    Code that they name is loaded; its relative paths hold from the current folder.
    """
    named = overridden(overrides)
    _prefer(tables, named)
    toml.override(tables, overrides, SECTIONS, kinds)
    bring(tables, kinds, [Path.cwd()], named.__contains__)


def overridden(overrides: Sequence[str]) -> set[str]:
    """The settings, ``"section.key"``, that overrides name."""
    return {text.partition("=")[0].strip() for text in overrides}


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
    use = tables.get(USE, [])
    if not isinstance(use, list) or not all(isinstance(source, str) for source in use):
        faults.append(
            f"{USE} = {shown(use)}: must be a list of files and modules, as ['my_ideas.py']."
        )
    known = [*SECTIONS, "name", USE]
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
    return RunFile(name=name, use=tuple(use), **sections)


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
