"""Writes one results file in parallel."""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpidl import schema
from mpidl.faults import Fault
from mpidl.world import Comm

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


def create(
    path: Path,
    sizes: Mapping[str, int],
    series: list[str],
    static: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, list[str]],
    attributes: Mapping[str, Any],
) -> None:
    """Lay out a whole results file, as one process, and put it in place at once.

    Everything that changes the file's structure happens here, so that a run which is killed later
    leaves a readable file, and so that writers need no collective call but for data.

    Args:
        path: Where the file goes.
        sizes: Length of each dimension of the series.
        series: Which of ``schema.SERIES`` the run records.
        static: For the other groups, the values of each variable.
        labels: Names along a dimension, such as the classes.
        attributes: Attributes of the whole file.
    """
    draft = _draft(path)
    try:
        _lay_out(draft, sizes, series, static, labels, attributes)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _lay_out(
    draft: Path,
    sizes: Mapping[str, int],
    series: list[str],
    static: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, list[str]],
    attributes: Mapping[str, Any],
) -> None:
    with h5py.File(draft, "w", libver=("v108", "v110")) as file:
        file.attrs["schema"] = schema.VERSION
        for key, value in attributes.items():
            file.attrs[key] = value
        file.create_dataset(schema.ROUNDS_DONE, data=np.int64(0))
        file.create_dataset(schema.COMPLETED, data=np.int64(0))
        group = file.create_group("series")
        for key in series:
            shape = tuple(sizes[dim] for dim in schema.SERIES[key].dims)
            _variable(group, key, schema.SERIES[key], shape, None, labels)
        for name, variables in static.items():
            group = file.create_group(name)
            for key, value in variables.items():
                layout = schema.GROUPS[name][key]
                _variable(group, key, layout, np.shape(value), value, labels)


def _variable(
    group: h5py.Group,
    key: str,
    layout: schema.Variable,
    shape: tuple[int, ...],
    value: Array | None,
    labels: Mapping[str, list[str]],
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


def _scale(group: h5py.Group, dim: str, size: int, labels: Mapping[str, list[str]]) -> h5py.Dataset:
    if dim not in group:
        if dim in labels:
            group.create_dataset(dim, data=labels[dim], dtype=h5py.string_dtype())
        else:
            group.create_dataset(dim, data=np.arange(size))
        group[dim].make_scale(dim)
    return group[dim]


class Recorder:
    """Collective. Keeps rows in memory and writes them into a created file every few rounds.

    Args:
        comm: All ranks.
        path: A file that :func:`create` made.
        devices: The devices of this rank, ascending.
        every: Rounds between writes.
        seconds: Seconds after which rows are written although fewer rounds are due.
        parallel: Whether ranks write together (MPI-IO) or through rank 0.
    """

    def __init__(
        self,
        comm: Comm,
        path: Path,
        devices: list[int],
        every: int,
        seconds: float,
        parallel: bool,
    ) -> None:
        self._comm, self._devices, self._parallel = comm, devices, parallel
        self._every, self._seconds = every, seconds
        self._rows: list[Mapping[str, Array]] = []
        self._done = 0
        self._written_at = time.monotonic()
        self._file = None
        if parallel:
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm)
        elif comm.rank == 0:
            self._file = h5py.File(path, "r+")
        there = comm.bcast(None if self._file is None else list(self._file["series"]))
        self._series = [key for key in schema.SERIES if key in there]

    @property
    def overdue(self) -> bool:
        """Whether this rank's clock says that rows should be written."""
        return time.monotonic() - self._written_at > self._seconds

    def record(self, row: Mapping[str, Array], now: bool) -> None:
        """Collective. Keep one round; write if due or if ``now``, which every rank says alike.

        Args:
            row: For each series its values on this rank's devices, ``(D,)`` or ``(D, C)``.
            now: Write at once.
        """
        self._rows.append(row)
        if now or len(self._rows) >= self._every:
            self.write()

    def write(self) -> None:
        """Collective. Write the rows kept so far, then count them."""
        if self._rows:
            rounds = slice(self._done, self._done + len(self._rows))
            for key in self._series:
                self._write(f"series/{key}", rounds, np.stack([row[key] for row in self._rows]))
            self._done += len(self._rows)
            self._rows.clear()
            if not self._parallel and self._file is not None:
                self._file.flush()
            self._comm.Barrier()
            self._mark(schema.ROUNDS_DONE, self._done)
        self._written_at = time.monotonic()

    def _write(self, key: str, rounds: slice, values: Array) -> None:
        if not self._parallel:
            parts = self._comm.gather((self._devices, values))
            if self._file is not None:
                for devices, part in parts or ():
                    self._file[key][rounds, devices] = part
            return
        dataset = self._file[key]  # type: ignore[index]
        first, last = self._devices[0], self._devices[-1]
        block = last - first + 1 == len(self._devices)
        with dataset.collective:
            columns = slice(first, last + 1) if block else self._devices
            dataset[rounds, columns] = values.astype(dataset.dtype)

    def _mark(self, key: str, value: int) -> None:
        if self._comm.rank == 0 and self._file is not None:
            self._file[key][()] = value
            if not self._parallel:
                self._file.flush()

    def close(self, completed: bool) -> None:
        """Collective. Write what is left, say whether the run came to its end, close the file."""
        self.write()
        if completed:
            self._mark(schema.COMPLETED, 1)
        if self._file is not None:
            self._file.close()
