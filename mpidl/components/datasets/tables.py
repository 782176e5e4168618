"""Tables in files, csv or parquet: a column has the labels, numbers in the others are inputs."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mpidl.components.datasets.arrays import Scaling, Split, assemble
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.columns import NONE, Columns, Roles, part
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Labels, Part
from mpidl.components.datasets.places import (
    File,
    SampleShape,
    SplitSeed,
    TestShare,
    file_of,
    library,
)
from mpidl.config.faults import Fault, first_line, printable, shown

Table = Any
"""A table of pyarrow."""

NUMBER = re.compile(r"In CSV column #(\d+): Row #(\d+): .* invalid value '(.*)'", re.DOTALL)
"""What pyarrow says of a text that is not a number."""


def _look(folder: Path | None, section: Any) -> None:
    file_of("file", section.file, folder)
    if section.test_file is not None:
        file_of("test_file", section.test_file, folder)


@DATASETS.add(look=_look)
def csv(
    folder: Path | None,
    seed: int,
    /,
    file: File,
    test_file: str | None = None,
    label: str = "label",
    labels: Labels = "classes",
    device_column: str | None = None,
    ignore: Columns = NONE,
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ",",
    scaling: Scaling = "none",
    shape: SampleShape = None,
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
) -> Dataset:
    """A csv file with a line of names: a column of labels, numbers in all other columns.

    Args:
        folder: The folder of the files; None for the current one.
        seed: Not used.
        file: The file of samples for training, or of all.
        test_file: The file of samples for testing.
        label: The column of labels, whole numbers or texts; each is a class.
        labels: Whether labels are classes, or numbers that models predict.
        device_column: The column that says whom a sample belongs to, for placement.name = 'given'.
        ignore: Columns that are left out.
        separator: The character between values.
        scaling: ``standard`` gives every column mean 0 and deviation 1, ``unit`` brings all values
            to 0 to 1, both by the samples for training.
        shape: The shape of one sample, such as [1, 28, 28] for images; unset, a row of numbers.
        test_share: Without ``test_file``, the share of samples for testing.
        split_seed: The seed of their draw, in which every class keeps its share.

    Raises:
        Fault: If a file is missing or damaged, or a column is missing or has no such values.
    """
    library(csv.__name__, "pyarrow.csv", "pyarrow")
    roles = Roles(label, device_column, ignore, labels == "numbers")
    parts = [
        part(_csv(path, separator, roles), replace(roles, ignored=()), str(path), first=2)
        for path in _paths(folder, file, test_file)
    ]
    split = Split(test_share, split_seed)
    return _assembled(csv.__name__, parts, split, labels, scaling, shape)


@DATASETS.add(look=_look)
def parquet(
    folder: Path | None,
    seed: int,
    /,
    file: File,
    test_file: str | None = None,
    label: str = "label",
    labels: Labels = "classes",
    device_column: str | None = None,
    ignore: Columns = NONE,
    scaling: Scaling = "none",
    shape: SampleShape = None,
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
) -> Dataset:
    """A parquet file: a column of labels, numbers or lists of numbers in all other columns.

    Arguments as those of :func:`csv`.

    Raises:
        Fault: If a file is missing or damaged, or a column is missing or has no such values.
    """
    library(parquet.__name__, "pyarrow.parquet", "pyarrow")
    roles = Roles(label, device_column, ignore, labels == "numbers")
    parts = [
        part(_parquet(path), roles, str(path), first=1) for path in _paths(folder, file, test_file)
    ]
    split = Split(test_share, split_seed)
    return _assembled(parquet.__name__, parts, split, labels, scaling, shape)


def _paths(folder: Path | None, file: str, test_file: str | None) -> list[Path]:
    named = {"file": file} | ({} if test_file is None else {"test_file": test_file})
    return [file_of(setting, text, folder) for setting, text in named.items()]


def _assembled(
    name: str,
    parts: Sequence[Part],
    split: Split,
    labels: Labels,
    scaling: Scaling,
    shape: list[int] | None,
) -> Dataset:
    test = parts[1] if len(parts) > 1 else split
    return assemble(
        name, parts[0], test, labels=labels, categories=True, scaling=scaling, shape=shape
    )


def _parquet(path: Path) -> Table:
    from pyarrow import parquet as reader

    with _readable(path, "a parquet file"):
        return reader.read_table(path, use_threads=False)


def _csv(path: Path, separator: str, roles: Roles) -> Table:
    """The columns of a csv file that are not ignored, numbers as numbers, the others as texts."""
    from pyarrow import csv as reader
    from pyarrow import float64, string

    reading = reader.ReadOptions(use_threads=False)
    parsing = reader.ParseOptions(delimiter=separator)
    with _readable(path, "a csv file"):
        with reader.open_csv(path, read_options=reading, parse_options=parsing) as begin:
            names = begin.schema.names
        numbers = {*roles.check(names, str(path)), *([roles.label] if roles.numbers else [])}
        kept = [name for name in names if name not in roles.ignored]
        types = {name: float64() if name in numbers else string() for name in kept}
        converting = reader.ConvertOptions(column_types=types, include_columns=kept)
        try:
            return reader.read_csv(path, reading, parsing, converting)
        except ValueError as error:
            found = NUMBER.match(str(error))
            if found is None:
                raise
            name, row, value = kept[int(found[1])], int(found[2]), found[3]
            raise Fault(
                f"column {shown(name)} of {path}: has {shown(value)} in row {row:,}; must be "
                "numbers. data.ignore leaves columns out."
            ) from None


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """A context in which a file that cannot be read is a Fault."""
    try:
        yield
    except Fault:
        raise
    except (OSError, ValueError, KeyError, MemoryError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise Fault(f"Cannot read {path}: {error.strerror}.") from None
        why = printable(first_line(error))
        raise Fault(f"{path} cannot be read as {kind}: {why}.") from None
