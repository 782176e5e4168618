"""TOML tables, which are read from text, overridden, and checked against settings."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from mpidl.config import parameters, plugins, shipped
from mpidl.config.faults import Fault, entry, nearest, shown
from mpidl.config.registry import Kinds, Registry

Tables = dict[str, Any]

BYTES = 2**21
"""Most bytes of a run file; a list of 100,000 devices fits."""

DOTS = 100
"""Most dots in a key; tomllib's time grows with their square, a minute for 1e5."""

SETTINGS = 2000
"""Most settings of a file, as each may cause a message."""

NAMERS = ("name", "backend")
"""Settings that name a builder, which decides the other settings of their section."""

SEVERAL = "log"
"""The setting that lists names of builders, which have no settings."""


def read(source: Path | str, kind: str = "run file") -> Tables:
    """The tables in a TOML file, or in TOML text.

    Args:
        source: The path of a file, which may be shipped with the program, or text.
        kind: The noun for the file in messages.

    Raises:
        Fault: If the file is missing, unreadable, too large, or not TOML.
    """
    if isinstance(source, str):
        return _parse(source, "The text")
    named, source = source, shipped.find(source)
    try:
        if source.exists() and not source.is_file():
            raise Fault(f"The {kind} {source} is not a regular file.")
        if (size := source.stat().st_size) > BYTES:
            raise Fault(f"The {kind} {source} has {size:,} bytes; at most {BYTES:,} are read.")
        return _parse(source.read_text(encoding="utf-8-sig"), f"The {kind} {source}")
    except OSError as error:
        more = shipped.sought(named) if isinstance(error, FileNotFoundError) else ""
        raise Fault(f"Cannot read the {kind} {source}: {error.strerror}{more}.") from None
    except UnicodeDecodeError:
        raise Fault(f"The {kind} {source} is not UTF-8 text.") from None


def _parse(text: str, subject: str) -> Tables:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > DOTS and max(part.count(".") for part in line.split(",")) > DOTS:
            raise Fault(f"{subject} has more than {DOTS} dots in a row in line {number}.")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise Fault(f"{subject} is not valid TOML: brackets are nested too deeply.") from None
    except ValueError as error:
        raise Fault(f"{subject} is not valid TOML: {error}.") from None
    if (
        sum(1 + len(table) if isinstance(table, dict) else 1 for table in tables.values())
        > SETTINGS
    ):
        raise Fault(f"{subject} has more than {SETTINGS:,} settings.")
    return tables


def override(
    tables: Tables,
    texts: Sequence[str],
    sections: Mapping[str, type[BaseModel]],
    kinds: Kinds,
) -> None:
    """Put overrides, each ``section.key=value``, into tables; the last one of a setting holds.

    Naming another builder removes the parameters of the former one: with ``model.name=cnn`` the
    file's ``model.hidden`` is dropped.

    Args:
        tables: The tables of a file; changed in place.
        texts: The overrides, in the order of the command line.
        sections: The settings of each section, without those that a builder adds.
        kinds: The registry of each section that names a builder.

    Raises:
        Fault: With one sentence for each text that is not an override.
    """
    parsed, faults = [], list[str]()
    for text in texts:
        try:
            parsed.append(_override(text))
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    put(tables, parsed, sections, kinds)


def put(
    tables: Tables,
    settings: Sequence[tuple[str, str, Any]],
    sections: Mapping[str, type[BaseModel]],
    kinds: Kinds,
) -> None:
    """Put values into tables, each by section and key; arguments as in :func:`override`.

    Raises:
        Fault: If a section is not a table.
    """
    # Names come first, so that the other settings belong to the builder that is named last.
    for section, key, value in sorted(settings, key=lambda setting: setting[1] not in NAMERS):
        table = tables.setdefault(section, {}) if section else tables
        if not isinstance(table, dict):
            raise Fault(f"{section} = {shown(table)}: must be a table, written [{section}].")
        if section in kinds and key == namer(sections[section]):
            _forget(table, sections[section], kinds[section], value)
        table[key] = value


def _override(text: str) -> tuple[str, str, Any]:
    path, equals, value = text.partition("=")
    *sections, key = (part.strip() for part in path.split("."))
    if not equals or not all([*sections, key]) or len(sections) > 1:
        raise Fault(f"--set {shown(text)}: must be section.key=value, such as training.rounds=20.")
    if not _encodable(text):
        raise Fault(f"--set {shown(text)}: must be UTF-8 text.")
    return "".join(sections), key, _value(value.strip())


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(text: str) -> Any:
    """The value that TOML reads from a text, or the text itself if it is not a TOML value."""
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tables["value"] if len(tables) == 1 else text


def namer(section: type[BaseModel]) -> str:
    """The setting of a section that names a builder, or several."""
    return next(key for key in (*reversed(NAMERS), SEVERAL) if key in section.model_fields)


def _forget(
    table: dict[str, Any], section: type[BaseModel], registry: Registry[Any], new: Any
) -> None:
    """Drop the parameters of the builder that a table names, if it will name another one."""
    key = namer(section)
    old = table.get(key, section.model_fields[key].default)
    if old == new or not isinstance(old, str):
        return
    own = {*table} if plugins.names_code(old) else set[str]()
    if old in registry:
        own |= {*registry.settings(old).model_fields}
    for parameter in own - {*section.model_fields}:
        table.pop(parameter, None)


def check(key: str, section: type[BaseModel], table: Any, registry: Registry[Any] | None) -> Any:
    """The validated settings of a table, with those of the builder that it names.

    Args:
        key: The name of the section.
        section: Its settings, without those that a builder adds.
        table: The table in the run file.
        registry: The builders that can be named, if any. Names in a list are not looked up, as
            they decide no other setting.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    if not isinstance(table, dict):
        raise Fault(f"{key} = {shown(table)}: must be a table, written [{key}].")
    settings, sentences, more = section, list[str](), ""
    if registry is not None and (key_of_name := namer(section)) != SEVERAL:
        name = table.get(key_of_name, section.model_fields[key_of_name].default)
        if isinstance(name, str) and name in registry:
            settings = _settings(key, section, registry.settings(name))
            more = registry.needs(name)
        else:
            # Parameters of an unknown builder cannot be checked.
            table = {k: v for k, v in table.items() if k in section.model_fields}
            if isinstance(name, str):
                reason = f"unknown {registry.kind}; {registry.remedy(name)}"
                sentences.append(f"{key}.{key_of_name} = {shown(name)}: {reason}")
    try:
        validated = settings.model_validate(table)
    except ValidationError as error:
        wrong: dict[str, list[Any]] = {}
        for fault in error.errors(include_input=False, include_url=False):
            wrong.setdefault(str(fault["loc"][0]), []).append(fault)
        sentences += [
            _sentence(key, k, table, faults, settings, more) for k, faults in wrong.items()
        ]
    if sentences:
        raise Fault(*sentences)
    return validated


@cache
def _settings(key: str, section: type[BaseModel], parameters: type[BaseModel]) -> type[BaseModel]:
    """A section with its builder's parameters; one class for each, so that sections compare."""
    return create_model(key, __base__=(section, parameters))


def _sentence(
    section: str,
    setting: str,
    table: Any,
    faults: list[Any],
    settings: type[BaseModel],
    more: str = "",
) -> str:
    """One sentence for one wrong setting, which may have several allowed forms."""
    if faults[0]["type"] == "extra_forbidden":
        return f"Unknown setting {section}.{setting}; {nearest(setting, settings.model_fields)}"
    if setting not in table:
        return f"{section}.{setting} is missing{more}."
    reasons = [f["msg"].removeprefix("Value error, ").removeprefix("Input ") for f in faults]
    field = settings.model_fields.get(setting)
    allowed = field.description if field else parameters.ANYTHING
    allowed = allowed or " or ".join(dict.fromkeys(reasons))
    return (
        f"{section}.{setting} = {shown(table[setting])}: {allowed}{_entry(table[setting], faults)}."
    )


def _entry(value: Any, faults: list[Any]) -> str:
    """A clause that names the wrong entry of a list, if a list is allowed."""
    if not isinstance(value, list):
        return ""
    places = (next((at for at in fault["loc"][1:] if type(at) is int), None) for fault in faults)
    place = next((at for at in places if at is not None and at < len(value)), None)
    return "" if place is None else entry(value, place)
