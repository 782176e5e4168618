"""The results file: whether it may be written, and its layout on the disk."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpidl import schema
from mpidl.faults import Fault

Array = npt.NDArray[Any]


def completed(path: Path) -> bool:
    """Whether a file is a results file whose run came to its end."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file[schema.COMPLETED][()])
    except (OSError, KeyError, TypeError, ValueError):
        return False


def examine(path: Path, overwrite: bool, size: int = 0, leads: bool = True) -> None:
    """Say whether a results file can be written; nothing is touched.

    Args:
        path: The results file to be.
        overwrite: Whether a completed run there may be replaced.
        size: Bytes that it will have at least.
        leads: Whether this rank is the one that does it.

    Raises:
        Fault: If the path holds a completed run, cannot be written, or has too little room.
    """
    if not leads:
        return
    try:
        if path.exists() and not path.is_file():
            raise Fault(f"Cannot write results to {path}: it is not a file.")
        if completed(path) and not overwrite:
            raise Fault(
                f"{path} holds a completed run; give --overwrite, another --out or another name."
            )
        folder = next(place for place in path.parents if os.path.lexists(place))
        if not folder.is_dir():
            raise Fault(f"Cannot write results to {path}: {folder} is not a folder.")
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {error.strerror}.") from None
    if size > free:
        raise Fault(
            f"Cannot write results to {path}: the file needs {size / 1e9:,.1f} GB and "
            f"{free / 1e9:,.1f} GB are free; take fewer training.rounds or devices."
        )


def claim(path: Path, overwrite: bool, leads: bool = True) -> None:
    """Make room for a results file; an unfinished one is moved aside, never lost.

    Args:
        path: The results file to be.
        overwrite: Whether a completed run there may be replaced.
        leads: Whether this rank is the one that does it.

    Raises:
        Fault: If the path holds a completed run, or cannot be written.
    """
    if not leads:
        return
    examine(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not overwrite:
            aside = (path.with_name(f"{path.stem}.unfinished-{k}.h5") for k in range(1, 10**6))
            path.rename(next(name for name in aside if not name.exists()))
        descriptor = os.open(_draft(path), os.O_CREAT | os.O_WRONLY, 0o666)
        os.close(descriptor)
        _draft(path).unlink()
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {error.strerror}.") from None


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


@dataclass(frozen=True)
class Contents:
    """What a results file holds before the first round.

    Attributes:
        sizes: Length of each dimension of the series.
        series: Which of ``schema.SERIES`` the run records.
        static: For the other groups, the values of each variable.
        labels: Names along a dimension, such as the classes.
        attributes: Attributes of the whole file.
    """

    sizes: Mapping[str, int]
    series: Sequence[str]
    static: Mapping[str, Mapping[str, Array]]
    labels: Mapping[str, Sequence[str]]
    attributes: Mapping[str, Any]


def create(path: Path, contents: Contents) -> None:
    """Lay out a whole results file, as one process, and put it in place at once.

    Everything that changes the file's structure happens here, so that a run which is killed later
    leaves a readable file, and so that writers need no collective call but for data.
    """
    draft = _draft(path)
    try:
        _lay_out(draft, contents)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _lay_out(draft: Path, contents: Contents) -> None:
    with h5py.File(draft, "w", libver=("v108", "v110")) as file:
        file.attrs["schema"] = schema.VERSION
        for key, value in contents.attributes.items():
            file.attrs[key] = value
        file.create_dataset(schema.ROUNDS_DONE, data=np.int64(0))
        file.create_dataset(schema.COMPLETED, data=np.int64(0))
        group = file.create_group("series")
        for key in contents.series:
            shape = tuple(contents.sizes[dim] for dim in schema.SERIES[key].dims)
            _variable(group, key, schema.SERIES[key], shape, None, contents.labels)
        for name, variables in contents.static.items():
            group = file.create_group(name)
            for key, value in variables.items():
                layout = schema.GROUPS[name][key]
                _variable(group, key, layout, np.shape(value), value, contents.labels)


def _variable(
    group: h5py.Group,
    key: str,
    layout: schema.Variable,
    shape: tuple[int, ...],
    value: Array | None,
    labels: Mapping[str, Sequence[str]],
) -> None:
    fill = -1 if layout.dtype.startswith("i") else np.nan
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    dataset = group.create_dataset(key, shape, layout.dtype, fillvalue=fill, dcpl=dcpl)
    if value is not None:
        dataset[...] = value
    dataset.attrs["long_name"] = layout.text
    dataset.attrs["units"] = layout.unit
    for axis, dim in enumerate(layout.dims):
        dataset.dims[axis].attach_scale(_scale(group, dim, shape[axis], labels))


def _scale(
    group: h5py.Group, dim: str, size: int, labels: Mapping[str, Sequence[str]]
) -> h5py.Dataset:
    if dim not in group:
        if dim in labels:
            group.create_dataset(dim, data=labels[dim], dtype=h5py.string_dtype())
        else:
            group.create_dataset(dim, data=np.arange(size))
        group[dim].make_scale(dim)
    return group[dim]
