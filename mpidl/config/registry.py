"""Registries: named builders, their settings, and helpful messages for wrong names."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Generic, TypeVar, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from mpidl.config.faults import Fault, shown

Builder = Callable[..., Any]
F = TypeVar("F", bound=Builder)
P = TypeVar("P", bound="Properties")


class Properties(BaseModel):
    """Properties that builders of one kind declare where they are registered, with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Drawn(Properties):
    """Properties of things that figures show.

    Attributes:
        color: ``"#rrggbb"``; empty for a color that follows from the name.
        marker: A marker of matplotlib; empty for a circle.
        order: Place in figures and tables; things with the same place are sorted by name.
    """

    color: Annotated[str, Field(pattern="^(#[0-9a-fA-F]{6})?$")] = ""
    marker: str = ""
    order: int = 1000


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause with the known name that is nearest to a wrong one, or with all known names."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known)}."


class Registry(dict[str, Builder], Generic[P]):
    """Named builders of one kind, filled by the files that define them.

    A builder has positional-only arguments, which the program passes, and others, which a run file
    may set: their annotations (``Annotated[int, Field(ge=1)]``) say what is allowed. Everything
    else that the program must know of a builder is declared where it is registered.

    Args:
        kind: The noun for a builder in messages.
        properties: The properties that builders may declare.
    """

    def __init__(self, kind: str, properties: type[P]) -> None:
        super().__init__()
        self.kind = kind
        self._undeclared = properties()
        self._declared: dict[Builder, P] = {}

    @overload
    def add(self, function: F, /, **declared: Any) -> F: ...
    @overload
    def add(self, /, **declared: Any) -> Callable[[F], F]: ...
    def add(self, function: F | None = None, /, **declared: Any) -> F | Callable[[F], F]:
        """Register a function under its own name: ``@STRATEGIES.add``, with ``(...)`` or without.

        Args:
            function: The builder.
            declared: Its properties that differ from the defaults.

        Raises:
            Fault: If another builder has that name, or a property is unknown or invalid.
        """
        if function is None:
            return partial(self.add, **declared)
        name = function.__name__.rstrip("_")
        if self.get(name, function) is not function:
            raise Fault(
                f"{self.kind} {name!r} is registered already, by {self[name].__module__}; give the "
                f"one of {function.__module__} another name."
            )
        self._declared[function] = self._read(name, declared)
        self[name] = function
        return function

    def properties(self, name: str) -> P:
        """The properties of a builder; the defaults for a name that is not registered."""
        builder = self.get(name)
        return (
            self._undeclared if builder is None else self._declared.get(builder, self._undeclared)
        )

    def having(self, **wanted: Any) -> list[str]:
        """The names of the builders with all these properties, in the order of registration."""
        declared = ((name, self.properties(name)) for name in self)
        return [n for n, p in declared if all(getattr(p, key) == wanted[key] for key in wanted)]

    def _read(self, name: str, declared: dict[str, Any]) -> P:
        try:
            return type(self._undeclared)(**declared)
        except ValidationError as error:
            first, known = error.errors()[0], type(self._undeclared).model_fields
            key = str(first["loc"][0])
            reason = f"{key} = {shown(declared[key])}: {first['msg'].rstrip('.')}."
            if key not in known:
                remedy = nearest(key, known) if known else "such builders have none."
                reason = f"{key} is not a property; {remedy}"
            raise Fault(f"{self.kind} {name!r}: {reason}") from None

    def __missing__(self, name: str) -> Builder:
        raise Fault(f"Unknown {self.kind} {name!r}; {nearest(name, self)}")

    def settings(self, name: str) -> type[BaseModel]:
        """The parameters of one builder that a run file may set, as a pydantic model.

        Raises:
            Fault: If an annotation cannot be read.
        """
        try:
            return _settings(self[name])
        except (NameError, SyntaxError, TypeError, PydanticUserError) as error:
            why = str(error).splitlines()[0].rstrip(".")
            raise Fault(
                f"{self.kind} {name!r}: the annotations of its parameters, which say what a run "
                f"file may set, cannot be read: {why}."
            ) from None

    def build(self, section: Any, *arguments: Any) -> Any:
        """Call the builder that ``section.name`` names with the parameters of the section."""
        return self[section.name](*arguments, **self.parameters(section))

    def parameters(self, section: Any) -> dict[str, Any]:
        """The parameters of the builder that ``section.name`` names, with the section's values."""
        return {key: getattr(section, key) for key in self.settings(section.name).model_fields}

    def describe(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """For each name, the first line of its docstring and its parameters with defaults."""
        return {
            name: (
                (inspect.getdoc(self[name]) or "").split("\n")[0],
                {key: field.default for key, field in self.settings(name).model_fields.items()},
            )
            for name in sorted(self)
        }


Kinds = Mapping[str, Registry[Any]]
"""The registry of each section of a run file that names a builder."""


@cache
def _settings(function: Builder) -> type[BaseModel]:
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.POSITIONAL_ONLY
    }
    # Annotations of the program's own arguments may be names that only type checkers import.
    annotations = {
        key: p.annotation for key, p in parameters.items() if p.annotation is not p.empty
    }
    hints = get_type_hints(
        type(function.__name__, (), {"__annotations__": annotations}),
        getattr(function, "__globals__", {}),
        include_extras=True,
    )
    fields: dict[str, Any] = {
        key: (hints.get(key, Any), ... if p.default is p.empty else p.default)
        for key, p in parameters.items()
    }
    return create_model(
        function.__name__, __config__=ConfigDict(extra="forbid", strict=True), **fields
    )
