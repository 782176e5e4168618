"""Columns of a table as samples: labels, the devices of samples, and numbers as inputs."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidl.components.datasets.labels import Part
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[Any]
Column = Any
"""A column of pyarrow, in one piece."""

Columns = Annotated[
    list[str], Field(max_length=100_000, description="must be a list of names of columns")
]
NONE: list[str] = []
LISTED = 8
"""Most names of columns that a message lists."""


@dataclass(frozen=True)
class Roles:
    """What columns are for; those that are not named are inputs.

    Attributes:
        label: The column of labels.
        owner: The column that says whom a sample belongs to; None if none does.
        ignored: Columns that are left out.
        numbers: Whether labels are numbers to predict, not classes.
    """

    label: str
    owner: str | None
    ignored: Sequence[str]
    numbers: bool = False

    def check(self, names: Sequence[str], told: str) -> list[str]:
        """Check that the columns are there, and return those that are inputs.

        Raises:
            Fault: If a column is missing, named twice, or none is left.
        """
        counts = Counter(names)
        if double := next((name for name in names if counts[name] > 1), None):
            raise Fault(f"{told}: has two columns named {shown(double)}.")
        wanted = {"label": [self.label], "ignore": self.ignored}
        wanted["device_column"] = [] if self.owner is None else [self.owner]
        for setting, columns in wanted.items():
            for name in columns:
                if name not in names:
                    told_names = _near(name, names)
                    raise Fault(f"data.{setting}: {told} has no column {shown(name)}; {told_names}")
        apart = {self.label, self.owner, *self.ignored}
        inputs = [name for name in names if name not in apart]
        if not inputs:
            raise Fault(f"{told}: has no column beside labels, so that there are no inputs.")
        return inputs


def part(table: Any, roles: Roles, told: str, first: int) -> Part:
    """The samples of a table of pyarrow.

    Args:
        table: The table.
        roles: What its columns are for.
        told: The table in words, for messages.
        first: The number of the first row, for messages.

    Raises:
        Fault: If a column is missing, or has no numbers where it must.
    """
    inputs = roles.check(table.column_names, told)
    if not table.num_rows:
        raise Fault(f"{told}: has no rows.")
    blocks = [_numbers(_column(table, name, told, first), _words(name, told)) for name in inputs]
    joined = blocks[0] if len(blocks) == 1 else np.concatenate([_flat(b) for b in blocks], axis=1)
    return apart(joined, table, roles, told, first)


def apart(inputs: Array, table: Any, roles: Roles, told: str, first: int) -> Part:
    """Inputs with the labels and devices of a table; arguments as of :func:`part`."""
    owners = None if roles.owner is None else _named(table, roles.owner, told, first)
    words = _words(roles.label, told)
    if roles.numbers:
        labels = _numbers(_column(table, roles.label, told, first), words)
    else:
        labels = _named(table, roles.label, told, first)
    return Part(inputs, labels, owners, f"inputs of {told}", words)


def _words(name: str, told: str) -> str:
    return f"column {shown(name)} of {told}"


def _column(table: Any, name: str, told: str, first: int) -> Column:
    """A column without gaps."""
    pieces = table.column(name)
    whole = pieces.combine_chunks() if hasattr(pieces, "combine_chunks") else pieces
    if whole.null_count:
        row = int(np.asarray(whole.is_null()).argmax()) + first
        raise Fault(f"{_words(name, told)}: has no value in row {row:,}.")
    return whole


def _near(name: str, names: Sequence[str]) -> str:
    match = difflib.get_close_matches(name, names, n=1)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"did you mean {match[0]!r}?" if match else f"it has {', '.join(names[:LISTED])}{more}."


def _flat(block: Array) -> Array:
    return block.reshape(len(block), -1)


def _numbers(column: Column, words: str) -> Array:
    """A column of numbers, or of lists of them, as float32: ``(n, 1)`` or ``(n, *lengths)``."""
    from pyarrow import compute, types

    column = getattr(column, "storage", column)
    count, lengths = len(column), list[int]()
    lists = types.is_list, types.is_large_list, types.is_fixed_size_list
    while any(kind(column.type) for kind in lists):
        each = compute.list_value_length(column)
        least, most = compute.min(each).as_py(), compute.max(each).as_py()
        if least != most:
            raise Fault(f"{words}: has lists of {least} and of {most} values; must be alike.")
        lengths.append(most)
        column = column.flatten()
        if column.null_count:
            raise Fault(f"{words}: has a list in which a value is missing.")
    kinds = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    if not any(kind(column.type) for kind in kinds):
        raise Fault(f"{words}: is {column.type}; must be numbers. data.ignore leaves columns out.")
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32).reshape(count, *(lengths or [1]))


def _named(table: Any, name: str, told: str, first: int) -> Array:
    """A column of labels or devices, whole numbers or texts; texts of whole numbers are these."""
    from pyarrow import types

    column, words = _column(table, name, told, first), _words(name, told)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind != "O":
        return np.asarray(values)
    if not all(isinstance(value, str) for value in values):
        raise Fault(f"{words}: is {column.type}; must be whole numbers or texts.")
    if (values == "").any():
        raise Fault(f"{words}: has no value in row {int((values == '').argmax()) + first:,}.")
    named: Array = values.astype("U")
    return named.astype(np.float64).astype(np.int64) if _whole(named) else named


def _whole(values: Array) -> bool:
    """Whether all texts are whole numbers, such as 3 or 3.0."""
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        return False
    return bool((numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**53).all())
