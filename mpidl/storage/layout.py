"""Layout of a results file, which is written before the first round."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.ranks import hdf5
from mpidl.storage import schema

Array = npt.NDArray[Any]


def draft(path: Path) -> Path:
    """The path of a results file of this process until it is laid out."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def _tidy(path: Path) -> None:
    """Remove incomplete files that killed runs left."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix[1:].isdigit():
            left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Contents:
    """Contents of a results file before the first round.

    Attributes:
        sizes: Length of each dimension of the series.
        series: The series that the run records, by name.
        static: For each other group, the values of each variable.
        labels: Names along a dimension, such as the classes.
        attributes: Attributes of the file.
        past: For each series the values of rounds that are done, ``(r, N)`` or ``(r, N, C)``.
        grows: Whether series can get more rounds than they have, in blocks of that many.
    """

    sizes: Mapping[str, int]
    series: Mapping[str, schema.Variable]
    static: Mapping[str, Mapping[str, Array]]
    labels: Mapping[str, Sequence[str]]
    attributes: Mapping[str, Any]
    past: Mapping[str, Array] = field(default_factory=dict)
    grows: bool = False


def create(path: Path, contents: Contents) -> None:
    """Write a complete results file without rounds, from one process, and move it into place.

    The structure of the file changes only here, so that a run that is killed later leaves a
    readable file, and so that writers need collective calls for data only.

    Raises:
        Fault: If the disk refuses it.
    """
    unfinished = draft(path)
    try:
        _tidy(path)
        _lay_out(unfinished, contents)
        os.replace(unfinished, path)
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {reason(error)}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """The reason of an error of the disk, in a few words, where HDF5 gives pages."""
    return os.strerror(error.errno) if error.errno else "HDF5 cannot write there"


def _lay_out(draft: Path, contents: Contents) -> None:
    with hdf5.File(draft, "w", libver=("v108", "v110")) as file:
        file.attrs["schema"] = schema.VERSION
        for key, value in contents.attributes.items():
            file.attrs[key] = value
        if own := [key for key in contents.series if key not in schema.SERIES]:
            file.attrs[schema.OWN_SERIES] = ",".join(own)
        done = min((len(values) for values in contents.past.values()), default=0)
        file.create_dataset(schema.ROUNDS_DONE, data=np.int64(done))
        file.create_dataset(schema.COMPLETED, data=np.int64(0))
        group = file.create_group("series")
        for key, variable in contents.series.items():
            shape = tuple(contents.sizes[dim] for dim in variable.dims)
            _variable(group, key, variable, shape, None, contents.labels, contents.grows)
            if done:
                dataset = group[key]
                dataset[:done] = contents.past[key][:done].astype(dataset.dtype)
        for name, variables in contents.static.items():
            group = file.create_group(name)
            for key, value in variables.items():
                layout = schema.GROUPS[name][key]
                _variable(group, key, layout, np.shape(value), value, contents.labels)


def _variable(
    group: "hdf5.Group",
    key: str,
    layout: schema.Variable,
    shape: tuple[int, ...],
    value: Array | None,
    labels: Mapping[str, Sequence[str]],
    grows: bool = False,
) -> None:
    if layout.dtype == "O":
        dataset = group.create_dataset(key, data=value, dtype=hdf5.string_dtype())
    else:
        dataset = _numbers(group, key, layout.dtype, shape, value, grows)
    dataset.attrs["long_name"] = layout.text
    dataset.attrs["units"] = layout.unit
    for axis, dim in enumerate(layout.dims):
        longer = grows and dim == "round"
        dataset.dims[axis].attach_scale(_scale(group, dim, shape[axis], labels, longer))


def _numbers(
    group: "hdf5.Group",
    key: str,
    dtype: str,
    shape: tuple[int, ...],
    value: Array | None,
    grows: bool,
) -> "hdf5.Dataset":
    fill = -1 if dtype.startswith("i") else np.nan
    dcpl = hdf5.h5p.create(hdf5.h5p.DATASET_CREATE)
    dcpl.set_alloc_time(hdf5.h5d.ALLOC_TIME_EARLY)
    more = {"maxshape": (None, *shape[1:]), "chunks": shape} if grows else {}
    dataset = group.create_dataset(key, shape, dtype, fillvalue=fill, dcpl=dcpl, **more)
    if value is not None:
        dataset[...] = value
    return dataset


def _scale(
    group: "hdf5.Group",
    dim: str,
    size: int,
    labels: Mapping[str, Sequence[str]],
    grows: bool = False,
) -> "hdf5.Dataset":
    if dim not in group:
        if dim in labels:
            group.create_dataset(dim, data=labels[dim], dtype=hdf5.string_dtype())
        else:
            more = {"maxshape": (None,), "chunks": (size,)} if grows else {}
            group.create_dataset(dim, data=np.arange(size), **more)
        group[dim].make_scale(dim)
    return group[dim]
