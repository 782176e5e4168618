"""Series of a run: those of the schema that it can have, and some of its own, side by side."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from mpidl.config.faults import Fault, shown
from mpidl.storage import measured, schema
from mpidl.storage.schema import Variable

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names of values of a task and of series of one's own."""

RULE = (
    "must be at most 40 lowercase letters, digits and underscores, of which the first is a letter"
)

OWN = re.compile(r"[a-z][a-z0-9_]{0,59}")
"""Names of series of its own that a results file may have: a value with its test set and moment."""

MOST = 100
"""Most series of its own that a run may have."""

TAKEN = frozenset(
    {name for layouts in schema.GROUPS.values() for name in layouts}
    | {dim for layouts in schema.GROUPS.values() for one in layouts.values() for dim in one.dims}
    | {"loss", "accuracy", "class_accuracy", "run", "strategy", "cell", "seed", "path"}
)
"""Names that a series of its own cannot have, as files and tables have them already."""


@dataclass(frozen=True)
class RunSeries:
    """The series that a run can have, as columns of one array; which it records is a part of them.

    Attributes:
        variables: Each series by name, in the order of its columns.
        classes: C, the length of the dimension ``class``; 0 if no series has it.
        values: The names of the values of the task beside the loss, such as ``accuracy``.
    """

    variables: Mapping[str, Variable]
    classes: int
    values: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> Mapping[str, slice]:
        """The columns of each series in an array of all of them."""
        slices: dict[str, slice] = {}
        start = 0
        for key, variable in self.variables.items():
            stop = start + (self.classes if variable.dims == schema.PER_CLASS else 1)
            slices[key] = slice(start, stop)
            start = stop
        return MappingProxyType(slices)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(columns.stop - columns.start for columns in self.columns.values())

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the series that are not in :data:`mpidl.storage.schema.SERIES`."""
        return tuple(key for key in self.variables if key not in schema.SERIES)

    def bytes(self, sizes: Mapping[str, int]) -> int:
        """Bytes that all series take in a results file, given the lengths of their dimensions."""
        return sum(
            math.prod(sizes[dim] for dim in variable.dims) * int(variable.dtype[1:])
            for variable in self.variables.values()
        )


@lru_cache(maxsize=64)
def of(
    classes: int, values: tuple[str, ...] = ("accuracy",), own: tuple[str, ...] = ()
) -> RunSeries:
    """The series of a run.

    Those of :data:`mpidl.storage.schema.SERIES` come first, in its order. Without the value
    ``accuracy`` those of accuracies are left out; those by class without classes.

    Args:
        classes: C, the classes by which accuracy is counted too; 0 for none.
        values: The values of the task beside its loss; each is measured on both test sets at the
            moments of evaluation, as ``iid_<value>_mixed``.
        own: Names of further series, each a number for each device and round.

    Raises:
        Fault: If a name is not valid, or taken.
    """
    check([name for name in values if name != "accuracy"], "a value of the task")
    check(own, "a series")
    variables = {
        key: variable
        for key, variable in schema.SERIES.items()
        if ("_accuracy_" not in key or "accuracy" in values)
        if (variable.dims != schema.PER_CLASS or classes)
    }
    more = [
        f"{kind}_{value}_{moment}"
        for moment in schema.MOMENTS
        for kind in schema.KINDS
        for value in values
        if value != "accuracy"
    ]
    further = described([*more, *own])
    if len(further) > MOST:
        raise Fault(f"{len(further)} series of its own: a run has at most {MOST} of them.")
    return RunSeries(MappingProxyType(variables | further), classes, values)


def check(names: Iterable[Any], subject: str) -> None:
    """Check that names of one's own are valid, and neither taken nor given twice.

    Args:
        names: The names.
        subject: What they name, such as ``"a series"``.

    Raises:
        Fault: If one is not; the sentence names it.
    """
    seen = set[str]()
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Fault(f"{shown(name)} as the name of {subject}: {RULE}.")
        if name in TAKEN or name.startswith("seconds_"):
            raise Fault(f"{name!r} as the name of {subject}: mpidl has that name already.")
        if name in seen:
            raise Fault(f"{name!r} as the name of {subject}: is given twice.")
        seen.add(name)


def described(names: Iterable[str]) -> dict[str, Variable]:
    """Series of a run's own by name; what each is follows from its name."""
    return {name: Variable(schema.PER_DEVICE, _text(name)) for name in names}


def _text(name: str) -> str:
    found = measured.parts(name)
    if found is None:
        return f"{name}, as the run named it"
    return f"{found.value} on the {schema.KINDS[found.kind]} {schema.MOMENTS[found.moment]}"


def listed(text: object) -> dict[str, Variable]:
    """The series that the attribute :data:`mpidl.storage.schema.OWN_SERIES` of a file names.

    Raises:
        ValueError: If it is not such a list; the file may come from anywhere.
    """
    names = str(text).split(",") if text else []
    wrong = [name for name in names if not OWN.fullmatch(name) or name in TAKEN]
    if wrong or len(names) > MOST or len(names) != len(set(names)):
        raise ValueError(f"{schema.OWN_SERIES} is {shown(text)}")
    return described(names)
