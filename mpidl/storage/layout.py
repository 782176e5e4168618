"""The results file: whether it may be written, and its layout on the disk."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.ranks import hdf5, host
from mpidl.storage import schema, untrusted

Array = npt.NDArray[Any]

UNITS = (1e9, "GB"), (1e6, "MB"), (1e3, "kB")
"""Of sizes: bytes, and what they are called."""

READ = """
import os, sys, h5py
size = os.path.getsize(sys.argv[1])
def read(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        assert item.nbytes <= size
        item[()]
with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    file.visititems(read)
"""
"""Reads all of a file, and allocates no more than it has."""


def sound(path: Path) -> bool:
    """Whether all of an HDF5 file can be read; a process of its own tries, as it may crash."""
    environment = {**host.unlaunched(os.environ), "MPI4PY_RC_INITIALIZE": "0"}
    words = [sys.executable, "-c", READ, str(path)]
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0


def told(path: Path) -> tuple[str, int, bool]:
    """What a results file says: its run file, how many rounds it counts, whether the run ended.

    Raises:
        Fault: If it cannot be read, or is none.
    """
    with untrusted.opened(path) as file:
        text = str(untrusted.attributes(file, ["run_file"])["run_file"])
        done = untrusted.number(file, schema.ROUNDS_DONE)
        return text, done, bool(untrusted.number(file, schema.COMPLETED))


def graph(path: Path) -> str | None:
    """The digest of the graph that a results file has; None where it does not say.

    Raises:
        Fault: If it cannot be read, or is none.
    """
    with untrusted.opened(path) as file:
        known = [name for name in (schema.GRAPH_DIGEST,) if name in file.attrs]
        return untrusted.attributes(file, known).get(schema.GRAPH_DIGEST)


def completed(path: Path) -> bool:
    """Whether a file is a results file whose run came to its end."""
    try:
        return told(path)[2]
    except Fault:
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
        if not overwrite and completed(path):
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
        scale, unit = next(u for u in UNITS if size >= u[0] or u == UNITS[-1])
        raise Fault(
            f"Cannot write results to {path}: the file needs {size / scale:,.1f} {unit} and "
            f"{free / scale:,.1f} {unit} are free; take fewer training.rounds or devices."
        )


def claim(
    path: Path,
    overwrite: bool,
    leads: bool = True,
    beside: Sequence[Path] = (),
    goes_on: bool = False,
) -> None:
    """Make room for a results file; what is unfinished is moved aside, never lost.

    Args:
        path: The results file to be.
        overwrite: Whether a completed run there may be replaced.
        leads: Whether this rank is the one that does it.
        beside: Folders that belong to what is there, such as its checkpoints.
        goes_on: Whether all that is there stays, for the run to go on with it.

    Raises:
        Fault: If the path holds a completed run, or cannot be written.
    """
    if not leads:
        return
    examine(path, overwrite or goes_on)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (goes_on or overwrite):
            _move_aside(path, beside)
        elif not goes_on:
            for old in beside:
                shutil.rmtree(old, ignore_errors=True)
        descriptor = os.open(_draft(path), os.O_CREAT | os.O_WRONLY, 0o666)
        os.close(descriptor)
        _draft(path).unlink()
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {error.strerror}.") from None


def _move_aside(path: Path, beside: Sequence[Path]) -> None:
    there = [old for old in (path, *beside) if os.path.lexists(old)]
    names = (f"{path.stem}.unfinished-{k}" for k in range(1, 10**6))
    new = next(
        n for n in names if not any(os.path.lexists(o.with_name(n + o.suffix)) for o in there)
    )
    for old in there:
        old.rename(old.with_name(new + old.suffix))


def inherit(path: Path, past: Mapping[str, Array], same: Callable[[str], bool]) -> dict[str, Array]:
    """The rows of all rounds that are known of a run which goes on.

    A file that is damaged or of another run is moved aside.

    Args:
        path: The results file, if there is one.
        past: For each series the rows of the first rounds, ``(r, N)`` or ``(r, N, C)``.
        same: Whether a resolved run file is that of this run.

    Returns:
        For each series the same rows, and those that the file has beyond them.

    Raises:
        Fault: If a file cannot be moved aside.
    """
    known = dict(past)
    if not os.path.lexists(path):
        return known
    with suppress(Fault):
        text, done, _ = told(path)
        if sound(path) and same(text):
            with untrusted.opened(path) as file:
                group = untrusted.group(file, "series")
                # Were that number damaged, rows would be counted that nobody wrote.
                unwritten = (untrusted.dataset(group, "finite")[: max(0, done)] < 0).any(axis=1)
                done = int(unwritten.argmax()) if unwritten.any() else len(unwritten)
                for key, rows in past.items():
                    there = untrusted.dataset(group, key) if key in group else rows
                    more = there[len(rows) : done].reshape(-1, *rows.shape[1:])
                    known[key] = np.concatenate([rows, more])
            return known
    known = dict(past)
    try:
        _move_aside(path, ())
    except OSError as error:
        raise Fault(f"Cannot move {path} aside: {error.strerror}.") from None
    return known


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _tidy(path: Path) -> None:
    """Remove what runs that were killed did not finish laying out."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix[1:].isdigit():
            left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Contents:
    """What a results file holds before the first round.

    Attributes:
        sizes: Length of each dimension of the series.
        series: Which of ``schema.SERIES`` the run records.
        static: For the other groups, the values of each variable.
        labels: Names along a dimension, such as the classes.
        attributes: Attributes of the whole file.
        past: For each series the rows of rounds that are done, ``(r, N)`` or ``(r, N, C)``.
    """

    sizes: Mapping[str, int]
    series: Sequence[str]
    static: Mapping[str, Mapping[str, Array]]
    labels: Mapping[str, Sequence[str]]
    attributes: Mapping[str, Any]
    past: Mapping[str, Array] = field(default_factory=dict)


def create(path: Path, contents: Contents) -> None:
    """Lay out a whole results file, as one process, and put it in place at once.

    Everything that changes the file's structure happens here, so that a run which is killed later
    leaves a readable file, and so that writers need no collective call but for data.

    Raises:
        Fault: If the disk does not take it.
    """
    draft = _draft(path)
    try:
        _tidy(path)
        _lay_out(draft, contents)
        os.replace(draft, path)
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {why(error)}.") from None
    finally:
        draft.unlink(missing_ok=True)


def why(error: OSError) -> str:
    """Why the disk did not take something, in a word; HDF5 has whole pages to say that."""
    return os.strerror(error.errno) if error.errno else "HDF5 cannot write there"


def _lay_out(draft: Path, contents: Contents) -> None:
    with hdf5.File(draft, "w", libver=("v108", "v110")) as file:
        file.attrs["schema"] = schema.VERSION
        for key, value in contents.attributes.items():
            file.attrs[key] = value
        done = min((len(rows) for rows in contents.past.values()), default=0)
        file.create_dataset(schema.ROUNDS_DONE, data=np.int64(done))
        file.create_dataset(schema.COMPLETED, data=np.int64(0))
        group = file.create_group("series")
        for key in contents.series:
            shape = tuple(contents.sizes[dim] for dim in schema.SERIES[key].dims)
            _variable(group, key, schema.SERIES[key], shape, None, contents.labels)
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
) -> None:
    if layout.dtype == "O":
        dataset = group.create_dataset(key, data=value, dtype=hdf5.string_dtype())
    else:
        dataset = _numbers(group, key, layout.dtype, shape, value)
    dataset.attrs["long_name"] = layout.text
    dataset.attrs["units"] = layout.unit
    for axis, dim in enumerate(layout.dims):
        dataset.dims[axis].attach_scale(_scale(group, dim, shape[axis], labels))


def _numbers(
    group: "hdf5.Group", key: str, dtype: str, shape: tuple[int, ...], value: Array | None
) -> "hdf5.Dataset":
    fill = -1 if dtype.startswith("i") else np.nan
    dcpl = hdf5.h5p.create(hdf5.h5p.DATASET_CREATE)
    dcpl.set_alloc_time(hdf5.h5d.ALLOC_TIME_EARLY)
    dataset = group.create_dataset(key, shape, dtype, fillvalue=fill, dcpl=dcpl)
    if value is not None:
        dataset[...] = value
    return dataset


def _scale(
    group: "hdf5.Group", dim: str, size: int, labels: Mapping[str, Sequence[str]]
) -> "hdf5.Dataset":
    if dim not in group:
        if dim in labels:
            group.create_dataset(dim, data=labels[dim], dtype=hdf5.string_dtype())
        else:
            group.create_dataset(dim, data=np.arange(size))
        group[dim].make_scale(dim)
    return group[dim]
