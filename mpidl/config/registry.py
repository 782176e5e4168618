"""Registries: named builders, their settings, and helpful messages for wrong names."""

import inspect
import itertools
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.errors import PydanticUserError

from mpidl.config import own_code, own_traceback, parameters, plugins
from mpidl.config.faults import Fault, first_line, nearest, shown

Builder = Callable[..., Any]
Check = Callable[..., Any]
F = TypeVar("F", bound=Builder)
P = TypeVar("P", bound="Properties")


MANY = 100
"""More arguments than any builder gets."""

BRING = "One of your own is named 'file.py:function' or 'module:function'."
"""The end of messages about an unknown name."""


class Decorator(Protocol):
    """Decorator of builders, with ``(...)`` or without: :meth:`Registry.add`."""

    @overload
    def __call__(self, function: F, /, **declared: Any) -> F: ...
    @overload
    def __call__(self, /, **declared: Any) -> Callable[[F], F]: ...


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


class Registry(dict[str, Builder], Generic[P]):
    """Named builders of one kind, filled by the files that define them.

    A builder has positional-only arguments, which the program passes, and others, which a run file
    may set: their annotations (``Annotated[int, Field(ge=1)]``) say what is allowed; one with
    ``**settings`` takes any. Everything else that the program must know of a builder is declared
    where it is registered.

    :meth:`add` is for builders that are written for a registry, in mpidl or outside. Any other
    function or class may take part (:meth:`bring`, :meth:`adopt`) and is *foreign*: of the
    program's arguments it gets those that it has before a ``/``, which may be none, and of its
    annotations those count that a run file's values can have.

    Args:
        kind: The noun for a builder in messages.
        properties: The properties that builders may declare.
        gives: How many arguments the program passes.
        check: Takes the name of a builder, what it returned, and the program's arguments; returns
            what is used in its place, or raises a :class:`Fault`.
    """

    def __init__(
        self, kind: str, properties: type[P], gives: int = MANY, check: Check | None = None
    ) -> None:
        super().__init__()
        self.kind, self.gives, self._checked = kind, gives, check
        self._undeclared = properties()
        self._declared: dict[Builder, P] = {}
        self._foreign: set[Builder] = set()

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
            Fault: If another builder has that name, or it takes more arguments before its ``/``
                than the program gives, or a property is unknown or invalid.
        """
        if function is None:
            return partial(self.add, **declared)
        name = function.__name__.rstrip("_")
        if self.get(name, function) is not function and not _replaces(function, self[name]):
            raise Fault(
                f"{self.kind} {name!r} is registered already, by {_home(self[name])}; give the "
                f"one of {_home(function)} another name."
            )
        self._check(name, function)
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
        raise Fault(f"Unknown {self.kind} {name!r}; {self.remedy(name)}")

    def remedy(self, name: str) -> str:
        """A clause about a wrong name: the nearest one, and how to bring one of one's own."""
        return f"{nearest(name, self)} {BRING}"

    def _check(self, name: str, builder: Builder) -> None:
        """Refuse a builder that needs more than the program gives."""
        own_traceback.note(builder)
        needed, _ = parameters.given(builder)
        if needed > self.gives:
            raise Fault(
                f"{self.kind} {name!r}: takes {needed} arguments before the '/', and the program "
                f"gives {self.gives}."
            )

    def needs(self, name: str) -> str:
        """A clause for a missing setting, if a builder has no ``/`` before which others stand."""
        if not self.gives or parameters.given(self[name])[1]:
            return ""
        function = getattr(self[name], "__name__", "it")
        return f"; what the program gives stands before a '/', as in {function}(given, /, ...)"

    def bring(self, name: str, *folders: Path, subject: str = "") -> str:
        """Load what ``"file.py:function"`` or ``"module:function"`` names, and register it.

        Args:
            name: The name.
            folders: Where the relative path of a file is looked for before the current folder.
            subject: The setting that names it, as a message begins.

        Returns:
            Its name here: without the folder of the file, or that of its decorator.

        Raises:
            Fault: If there is no such function.
            OwnError: If its code raises an error when it is loaded.
        """
        return self.register(plugins.named(name, *folders, subject=subject), subject or shown(name))

    def register(self, named: plugins.Named, subject: str) -> str:
        """Register what was loaded; its name here.

        Args:
            named: What was loaded.
            subject: The setting that names it, as a message begins.

        Raises:
            Fault: If it is no function.
        """
        if not callable(named.thing):
            raise Fault(f"{subject}: must name a function or a class, not {shown(named.thing)}.")
        return self._foreign_name(named.thing, named.name)

    def adopt(self, builder: Builder) -> str:
        """Register a function or class that a program passes in place of a name; the name.

        It is known by the same name as long as the process lives; of different ones that are
        written under one name, such as lambdas, the later have a number. A run file's settings are
        its arguments as for :meth:`bring`, and its code is recorded.
        """
        name = own_code.name_of(builder)
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        free = (one for one in itertools.chain([name], numbered) if one not in self)
        return self._foreign_name(builder, next(free))

    def _foreign_name(self, builder: Builder, name: str) -> str:
        known = next((key for key, value in self.items() if value is builder), None)
        if known is None:
            self._check(name, builder)
            self._foreign.add(builder)
            self[name] = builder
        return known or name

    def settings(self, name: str) -> type[BaseModel]:
        """The parameters of one builder that a run file may set, as a pydantic model.

        Raises:
            Fault: If an annotation cannot be read.
        """
        builder = self[name]
        try:
            return parameters.settings(builder, builder in self._foreign)
        except (NameError, SyntaxError, TypeError, PydanticUserError) as error:
            raise Fault(
                f"{self.kind} {name!r}: the annotations of its parameters, which say what a run "
                f"file may set, cannot be read: {first_line(error)}."
            ) from None

    def call(self, name: str, *arguments: Any, **settings: Any) -> Any:
        """Call a builder with as many of the program's arguments as it has before its ``/``.

        Raises:
            Fault: If it returns what is none of its kind.
        """
        builder = self[name]
        _, taken = parameters.given(builder)
        made = builder(*arguments[:taken], **settings)
        return made if self._checked is None else self._checked(name, made, *arguments)

    def build(self, section: Any, *arguments: Any) -> Any:
        """Call the builder that ``section.name`` names with the parameters of the section."""
        return self.call(section.name, *arguments, **self.parameters(section))

    def parameters(self, section: Any) -> dict[str, Any]:
        """The parameters of the builder that ``section.name`` names, with the section's values.

        A default that no run file can have is left out, and so stays as it is.
        """
        keys = [
            *self.settings(section.name).model_fields,
            *(getattr(section, "model_extra", None) or {}),
        ]
        values = {key: getattr(section, key) for key in keys}
        return {
            key: value
            for key, value in values.items()
            if value is not None or parameters.default(self[section.name], key) is None
        }

    def describe(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """For each name, the first line of its docstring and its parameters with defaults."""
        return {
            name: (
                (inspect.getdoc(self[name]) or "").split("\n")[0],
                {
                    key: None if field.is_required() else field.default
                    for key, field in self.settings(name).model_fields.items()
                },
            )
            for name in sorted(self)
        }


Kinds = Mapping[str, Registry[Any]]
"""The registry of each section of a run file that names a builder."""


def _home(builder: Builder) -> str:
    """The file or module that defines a builder, for a message."""
    code = own_code.of(builder)
    return builder.__module__ if code is None else code.name


def _replaces(builder: Builder, former: Builder) -> bool:
    """Whether a builder is a later state of another: a cell of a notebook, or a file, run again."""
    module, names = builder.__module__, getattr(builder, "__globals__", None)
    if former.__module__ != module or names is not getattr(sys.modules.get(module), "__dict__", 0):
        return False
    return module == "__main__" or getattr(former, "__globals__", None) is not names
