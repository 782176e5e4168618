"""Parameters of builders: what the program passes, and what a run file may set, with its types."""

import inspect
import warnings
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

Value = bool | int | float | str

ANYTHING = "must be text, a number, true or false, or a list of these or of such lists"

Setting = Annotated[Value | list[Value | list[Value]], Field(description=ANYTHING)]
"""Anything that a results file can record of a setting."""

NAMER = "name"
"""The parameter that no run file can set, as it is the setting that names the builder."""


class _Settings(BaseModel):
    """Settings of a builder."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class _AnySettings(BaseModel):
    """Settings of a builder that takes any."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())

    __pydantic_extra__: dict[str, Setting]


@cache
def signature(builder: Any) -> inspect.Signature:
    """The signature of a builder; of one that has none, as some in C, that it takes anything."""
    try:
        return inspect.signature(builder)
    except (TypeError, ValueError):
        return inspect.signature(lambda **settings: None)


@cache
def given(builder: Any) -> tuple[int, int]:
    """How many arguments of the program a builder needs, and how many it takes: before ``/``."""
    parameters = signature(builder).parameters.values()
    own = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    return sum(p.default is p.empty for p in own), len(own)


def default(builder: Any, key: str) -> Any:
    """The default of a parameter."""
    return signature(builder).parameters[key].default


@cache
def settings(builder: Any, foreign: bool) -> type[BaseModel]:
    """The parameters of a builder that a run file may set, as a pydantic model.

    Args:
        builder: A function or a class.
        foreign: Whether it was written without a run file in mind: an annotation that is not of a
            run file's types then says nothing, and a default that is not stays as it is.

    Raises:
        NameError: Or another error of its annotations, if it is not foreign.
    """
    known = signature(builder).parameters.values()
    parameters = {
        p.name: p
        for p in known
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != NAMER
        if not p.name.startswith("_")
    }
    hints = _hints(builder, parameters, foreign)
    fields: dict[str, Any] = {}
    for key, parameter in parameters.items():
        kind, default = hints.get(key), parameter.default
        if kind is None or (foreign and not _writable(kind)):
            kind = Setting
            if default is not parameter.empty and not _value(default):
                default = None
        fields[key] = kind, ... if default is parameter.empty else default
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known)
    with warnings.catch_warnings():
        # A parameter may have the name of a method of pydantic.
        warnings.simplefilter("ignore", UserWarning)
        return create_model(
            getattr(builder, "__name__", "builder"),
            __base__=_AnySettings if open_ended else _Settings,
            **fields,
        )


def _hints(builder: Any, parameters: dict[str, inspect.Parameter], foreign: bool) -> dict[str, Any]:
    # Annotations of the program's own arguments may be names that only type checkers import.
    annotations = {
        key: p.annotation for key, p in parameters.items() if p.annotation is not p.empty
    }
    written = inspect.unwrap(builder.__init__ if inspect.isclass(builder) else builder)
    try:
        return get_type_hints(
            type("Builder", (), {"__annotations__": annotations}),
            getattr(written, "__globals__", {}),
            include_extras=True,
        )
    except Exception:
        if not foreign:
            raise
        return {}


def _writable(kind: Any) -> bool:
    """Whether a type has only values that a run file can have."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType, list):
        return all(map(_writable, parts))
    if origin is Annotated:
        return _writable(parts[0])
    return origin is Literal or kind in (bool, int, float, str, NoneType)


def _value(default: Any) -> bool:
    """Whether a default can be written into a run file."""
    if isinstance(default, list):
        return all(map(_value, default))
    return type(default) in (bool, int, float, str)
