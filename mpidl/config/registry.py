"""A dictionary of named builders that explains itself when a name is wrong."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.errors import PydanticUserError

from mpidl.config.faults import Fault

Builder = Callable[..., Any]
F = TypeVar("F", bound=Builder)


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names comes nearest, or list them all."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known)}."


class Registry(dict[str, Builder]):
    """Named builders of one kind, filled by the files that define them.

    A builder takes what the program gives it as positional-only arguments, and what a run file may
    set as the others: their annotations (``Annotated[int, Field(ge=1)]``) are what is allowed.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, function: F) -> F:
        """Register a function under its own name.

        Raises:
            Fault: If another one has that name.
        """
        name = function.__name__.rstrip("_")
        if self.get(name, function) is not function:
            raise Fault(
                f"{self.kind} {name!r} is registered already, by {self[name].__module__}; call the "
                f"one of {function.__module__} by another name."
            )
        self[name] = function
        return function

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
                f"{self.kind} {name!r}: the annotations of its parameters say what a run file may "
                f"set, and cannot be read: {why}."
            ) from None

    def build(self, section: Any, *given: Any) -> Any:
        """Call the builder that ``section.name`` names with the parameters of the section."""
        return self[section.name](*given, **self.parameters(section))

    def parameters(self, section: Any) -> dict[str, Any]:
        """The parameters of the builder that ``section.name`` names, as the section has them."""
        return {key: getattr(section, key) for key in self.settings(section.name).model_fields}

    def describe(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """For each name the first line of its docstring and its parameters with defaults."""
        return {
            name: (
                (inspect.getdoc(self[name]) or "").split("\n")[0],
                {key: field.default for key, field in self.settings(name).model_fields.items()},
            )
            for name in sorted(self)
        }


@cache
def _settings(function: Builder) -> type[BaseModel]:
    given = {
        key: parameter
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.POSITIONAL_ONLY
    }
    # Those of the program's own arguments may be names that only type checkers import.
    told = {key: p.annotation for key, p in given.items() if p.annotation is not p.empty}
    hints = get_type_hints(
        type(function.__name__, (), {"__annotations__": told}),
        getattr(function, "__globals__", {}),
        include_extras=True,
    )
    fields: dict[str, Any] = {
        key: (hints.get(key, Any), ... if p.default is p.empty else p.default)
        for key, p in given.items()
    }
    return create_model(
        function.__name__, __config__=ConfigDict(extra="forbid", strict=True), **fields
    )
