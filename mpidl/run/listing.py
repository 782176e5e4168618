"""The listing of a run file's words: every name of every kind, every setting of a section."""

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

from mpidl.config.faults import Fault
from mpidl.config.registry import Registry, nearest
from mpidl.config.runfile import SECTIONS
from mpidl.plan import KINDS

WIDTH = 100
"""Characters of a line."""

WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
"""Types as users call them."""

BOUNDS: tuple[tuple[type, str, str], ...] = (
    (limits.Ge, "ge", "from"),
    (limits.Gt, "gt", "above"),
    (limits.Le, "le", "to"),
    (limits.Lt, "lt", "to below"),
)
"""What limits a number: its attribute, and the word for it."""


def text(section: str, as_json: bool) -> str:
    """Every setting of a section, or, where none is named, every name of every kind.

    Raises:
        Fault: If there is no such section.
    """
    return _section(section, as_json) if section else _everything(as_json)


def _everything(as_json: bool) -> str:
    kinds = {section: registry.describe() for section, registry in KINDS.items()}
    if as_json:
        return json.dumps(kinds, indent=2, default=str) + "\n"
    lines = []
    for section, registry in KINDS.items():
        lines += [f"[{section}] {_namer(registry)}", *_names(section), ""]
    lines.append(f"--list SECTION tells all settings of one: {', '.join(SECTIONS)}")
    return "\n".join(lines) + "\n"


def _section(name: str, as_json: bool) -> str:
    if name not in SECTIONS:
        raise Fault(f"--list {name}: no section of a run file; {nearest(name, SECTIONS)}")
    found = settings(name)
    if as_json:
        named = {name: KINDS[name].describe()} if name in KINDS else {}
        return json.dumps({"settings": found, **named}, indent=2, default=str) + "\n"
    lines = [f"[{name}] {inspect.getdoc(SECTIONS[name])}".split("\n")[0], ""]
    for key, told in found.items():
        default = told["default"]
        lines.append(f"  {key} = {'unset' if default is None else json.dumps(default)}")
        lines += _indented(f"{told['type']}. {told['meaning']}")
    if name in KINDS:
        lines += ["", f"{_namer(KINDS[name])}, with what it adds to the section:", *_names(name)]
    return "\n".join(lines) + "\n"


def settings(name: str) -> dict[str, dict[str, Any]]:
    """Of each setting of a section ``type``, ``default`` and ``meaning``; ``choices`` of some."""
    found, fields = meanings(SECTIONS[name]), SECTIONS[name].model_fields
    told: dict[str, dict[str, Any]] = {
        key: {
            "type": allowed(field),
            "choices": _choices(field.annotation),
            "default": field.default,
            "meaning": found.get(key, ""),
        }
        for key, field in fields.items()
    }
    if name in KINDS:
        registry = KINDS[name]
        more = {"type": "One of the names below", "choices": sorted(registry)}
        told[_namer(registry)] |= {**more, "meaning": f"Which {registry.kind} it is."}
    return told


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
    for name, (told, parameters) in KINDS[section].describe().items():
        given = ", ".join(f"{k} = {json.dumps(v, default=str)}" for k, v in parameters.items())
        lines.append(f"  {name:24} {told}" + (f"\n{'':27}{given}" if given else ""))
    return lines


def _namer(registry: Registry[Any]) -> str:
    return "backend" if registry.kind == "exchange backend" else "name"


def _indented(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def allowed(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    if field.description:
        words = field.description.removeprefix("must be ").removeprefix("must ")
    else:
        words = _said(field.annotation, field.metadata)
    return words[:1].upper() + words[1:]


def _said(kind: Any, metadata: Any = ()) -> str:
    """What a type lets a value be, in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_said(one) for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(one) for one in get_args(kind))
    if hasattr(kind, "__metadata__"):
        return _said(kind.__origin__, kind.__metadata__)
    flat = [one for item in metadata for one in (getattr(item, "metadata", None) or [item])]
    bounds = [
        f"{word} {getattr(one, attribute):,}"
        for limit, attribute, word in BOUNDS
        for one in flat
        if isinstance(one, limit)
    ]
    return " ".join([WORDS.get(kind, str(kind)), *bounds])


def _choices(kind: Any) -> list[Any] | None:
    """What a setting may be, where that is one of a few texts."""
    return list(get_args(kind)) if get_origin(kind) is Literal else None
