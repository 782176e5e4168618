"""Listing of names and settings: every name of every kind, or every setting of a section."""

import ast
import inspect
import json
import textwrap
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types as limits
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mpidl.config.faults import Fault, nearest
from mpidl.config.runfile import SECTIONS
from mpidl.config.toml import SEVERAL, namer
from mpidl.plan import KINDS

WIDTH = 100
"""Most characters of a line."""

WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
"""Types as users call them."""

BOUNDS: tuple[tuple[type, str, str], ...] = (
    (limits.Ge, "ge", "from"),
    (limits.Gt, "gt", "above"),
    (limits.Le, "le", "to"),
    (limits.Lt, "lt", "to below"),
)
"""Limits of a number: their class, their attribute, and the word for them."""


def text(section: str, as_json: bool) -> str:
    """Every setting of a section, or, without a section, every name of every kind.

    Raises:
        Fault: If there is no such section.
    """
    return _section(section, as_json) if section else _everything(as_json)


def _everything(as_json: bool) -> str:
    kinds = {section: registry.describe() for section, registry in KINDS.items()}
    if as_json:
        return json.dumps(kinds, indent=2, default=str) + "\n"
    lines = []
    for section in KINDS:
        lines += [f"[{section}] {namer(SECTIONS[section])}", *_names(section), ""]
    lines.append(f"--list SECTION lists all settings of a section: {', '.join(SECTIONS)}")
    return "\n".join(lines) + "\n"


def _section(name: str, as_json: bool) -> str:
    if name not in SECTIONS:
        raise Fault(f"--list {name}: must be a section of a run file; {nearest(name, SECTIONS)}")
    described = settings(name)
    if as_json:
        named = {name: KINDS[name].describe()} if name in KINDS else {}
        return json.dumps({"settings": described, **named}, indent=2, default=str) + "\n"
    lines = [f"[{name}] {inspect.getdoc(SECTIONS[name])}".split("\n")[0], ""]
    for key, facts in described.items():
        default = facts["default"]
        lines.append(f"  {key} = {'unset' if default is None else json.dumps(default)}")
        lines += _indented(f"{facts['type']}. {facts['meaning']}")
    if name in KINDS:
        lines += [
            "",
            f"{namer(SECTIONS[name])}, with the settings that it adds to the section:",
            *_names(name),
        ]
    return "\n".join(lines) + "\n"


def settings(name: str) -> dict[str, dict[str, Any]]:
    """For each setting of a section ``type``, ``choices`` or None, ``default`` and ``meaning``."""
    texts, fields = meanings(SECTIONS[name]), SECTIONS[name].model_fields
    described: dict[str, dict[str, Any]] = {
        key: {
            "type": allowed(field),
            "choices": _choices(field.annotation),
            "default": field.default,
            "meaning": texts.get(key, ""),
        }
        for key, field in fields.items()
    }
    if name in KINDS:
        key, registry = namer(SECTIONS[name]), KINDS[name]
        described[key]["choices"] = sorted(registry)
        if key != SEVERAL:
            told = f"Which {registry.kind} it is."
            described[key] |= {"type": "One of the names below", "meaning": told}
    return described


def meanings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring below each setting of a section."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(body, ast.ClassDef)
    return {
        setting.target.id: " ".join(inspect.cleandoc(text.value.value).replace("``", "").split())
        for setting, text in pairwise(body.body)
        if isinstance(setting, ast.AnnAssign)
        and isinstance(setting.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _names(section: str) -> list[str]:
    lines = []
    for name, (summary, parameters) in KINDS[section].describe().items():
        listed = ", ".join(f"{k} = {json.dumps(v, default=str)}" for k, v in parameters.items())
        lines.append(f"  {name:24} {summary}" + (f"\n{'':27}{listed}" if listed else ""))
    return lines


def _indented(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def allowed(field: FieldInfo) -> str:
    """The allowed values of a setting, in words."""
    if field.description:
        words = field.description.removeprefix("must be ").removeprefix("must ")
    else:
        words = _allowed(field.annotation, field.metadata)
    return words[:1].upper() + words[1:]


def _allowed(kind: Any, metadata: Any = ()) -> str:
    """The values that a type allows, in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_allowed(part) for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(part) for part in get_args(kind))
    if hasattr(kind, "__metadata__"):
        return _allowed(kind.__origin__, kind.__metadata__)
    flat = [part for item in metadata for part in (getattr(item, "metadata", None) or [item])]
    bounds = [
        f"{word} {getattr(part, attribute):,}"
        for limit, attribute, word in BOUNDS
        for part in flat
        if isinstance(part, limit)
    ]
    return " ".join([WORDS.get(kind, str(kind)), *bounds])


def _choices(kind: Any) -> list[Any] | None:
    """The choices of a setting that is one of a few texts; None for others."""
    return list(get_args(kind)) if get_origin(kind) is Literal else None
