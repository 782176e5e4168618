"""Reads results files: finished, killed, or still being written."""

import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mpidl import schema
from mpidl.faults import Fault, shown

if TYPE_CHECKING:
    import xarray as xr

DIMENSIONS = ("round", "device", "class", "edge", "end", "member", "mode")

COORDINATES = ("hops", "source", "rank")
"""What a device is, beside its number: xarray can group by these."""

REQUIRED = {
    "graph": ("edges", "hops"),
    "placement": ("source", "rank"),
    "series": ("train_loss", "consensus_distance", "bytes_sent"),
}
"""Variables by group that are in every results file."""

SETTINGS = {
    "name": str,
    "data.name": str,
    "strategy.name": str,
    "training.rounds": int,
    "training.epochs": int,
}
"""Settings that are in every run file, and their types."""

UNBOUNDED = ("loss", "consensus")
"""Series that may be infinite, where training went wrong; others only where the file did."""

BROKEN = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError)
"""What h5py and numpy raise over the contents of a damaged file."""


def open(path: Path | str, names: Iterable[str] | None = None) -> "xr.Dataset":
    """Read a results file as labelled arrays.

    Everything in it is one dataset with the dimensions ``round`` (from 0), ``device``, ``class``,
    ``edge``, ``end``, ``member`` and ``mode``; :mod:`mpidl.schema` says what each variable is, and
    each has ``long_name`` and ``units``. Only whole rounds are read, so the dataset of a run that
    was killed, or still goes on, has fewer rounds than ``attrs["training.rounds"]``. Attributes:
    every setting of the resolved run file, as ``"section.key"``; its text as ``run_file``;
    versions and machine; ``rounds_done``, ``completed`` and ``path``.

    Nothing is locked, so that a run which writes the file at the same time is not disturbed.

    Args:
        path: A results file.
        names: The variables to read; all by default.

    Raises:
        Fault: If the file is missing, damaged or truncated, not mpidl's, or of a newer schema.
    """
    with _opened(Path(path)) as file:
        return _dataset(Path(path), file, None if names is None else set(names))


def settings(path: Path | str) -> tuple[dict[str, Any], int]:
    """Every setting of a run, as ``"section.key"``, and how many rounds are whole in its file.

    Raises:
        Fault: As of :func:`open`.
    """
    with _opened(Path(path)) as file:
        return flat(Path(path), str(file.attrs["run_file"])), _done(file)


def flat(path: Path, text: str) -> dict[str, Any]:
    """The settings in the text of a run file, as ``"section.key"``, and its name."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError):
        raise Fault(f"{path} is damaged: the run file in it is not TOML.") from None
    found: dict[str, Any] = {}
    for section, table in tables.items():
        if isinstance(table, Mapping):
            found |= {f"{section}.{key}": value for key, value in table.items()}
        else:
            found[section] = table
    for key, kind in SETTINGS.items():
        if not isinstance(found.get(key), kind):
            raise Fault(f"{path} is damaged: its run file has no {key} that makes sense.")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """A results file, open for reading and known to be one."""
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        try:
            _check(path, file)
            yield file
        except Fault:
            raise
        except BROKEN as error:
            told = " ".join(str(error).strip("'\"").split())
            raise Fault(f"{path} is damaged and cannot be read: {told}.") from None


def _unreadable(path: Path, error: OSError) -> Fault:
    try:
        kind = path.stat().st_mode
    except OSError as problem:
        gone = isinstance(problem, FileNotFoundError)
        what = "it does not exist" if gone else str(problem.strerror).lower()
        return Fault(f"Cannot read results from {path}: {what}.")
    if not os.access(path, os.R_OK):
        return Fault(f"Cannot read results from {path}: permission denied.")
    if not stat.S_ISREG(kind):
        return Fault(f"Cannot read results from {path}: it is not a file.")
    if not h5py.is_hdf5(path):
        return Fault(f"{path} is not a results file of mpidl: it is not an HDF5 file.")
    if "truncated" in str(error):
        size = path.stat().st_size
        return Fault(f"{path} is truncated: only {size:,} bytes of it are there.")
    return Fault(f"{path} is damaged and cannot be read: {error}.")


def _check(path: Path, file: h5py.File) -> None:
    version = file.attrs.get("schema")
    if version is None or "run_file" not in file.attrs or schema.ROUNDS_DONE not in file:
        raise Fault(f"{path} is not a results file of mpidl: it is another HDF5 file.")
    if not isinstance(version, int | np.integer) or version > schema.VERSION:
        raise Fault(
            f"{path} has schema {shown(_plain(version))}, and this mpidl reads schemas up to "
            f"{schema.VERSION}: take a newer mpidl."
        )


def _done(file: h5py.File) -> int:
    """How many rounds are whole."""
    done = int(file[schema.ROUNDS_DONE][()])
    if done < 0:
        raise ValueError(f"{schema.ROUNDS_DONE} is {done}")
    return done


def _dataset(path: Path, file: h5py.File, names: set[str] | None) -> "xr.Dataset":
    try:
        import xarray as xr
    except ModuleNotFoundError:
        raise Fault("Labelled arrays need xarray: pip install 'mpidl[report]'.") from None
    room = path.stat().st_size
    done = _done(file)
    variables: dict[str, Any] = {}
    scales: dict[str, Any] = {}
    for group, layouts in schema.GROUPS.items():
        found = file.get(group, {})
        for name in REQUIRED[group]:
            if name not in found:
                raise Fault(f"{path} is damaged: it lacks {group}/{name}.")
        for name, layout in layouts.items():
            if name not in found or (names is not None and name not in names | {*COORDINATES}):
                continue
            stored = found[name]
            _check_size(path, stored, len(layout.dims), room)
            # Rows beyond the count may be half written.
            chosen = slice(done) if layout.dims[0] == "round" else slice(None)
            told = {"long_name": layout.text, "units": layout.unit}
            variables[name] = xr.Variable(layout.dims, stored[chosen], told)
            for dim in layout.dims:
                if dim not in scales and dim in found:
                    _check_size(path, found[dim], 1, room)
                    scales[dim] = _scale(found[dim], done if dim == "round" else None)
    coordinates = {name: variables.pop(name) for name in COORDINATES if name in variables}
    dataset = xr.Dataset(variables, {**scales, **coordinates})
    _check_values(path, dataset)
    dataset.attrs = _attributes(path, file, done)
    return dataset


def _check_size(path: Path, stored: h5py.Dataset, dims: int, room: int) -> None:
    """Refuse what claims more than the file can hold, before memory is taken for it."""
    if stored.ndim != dims or stored.nbytes > room:
        raise Fault(
            f"{path} is damaged: {stored.name} claims the shape {stored.shape} in a file of "
            f"{room:,} bytes."
        )


def _check_values(path: Path, run: "xr.Dataset") -> None:
    devices = run.sizes["device"]
    if "edges" in run and ((run["edges"] < 0) | (run["edges"] >= devices)).any():
        raise Fault(f"{path} is damaged: it has links between more than its {devices} devices.")
    for name, variable in run.variables.items():
        bounded = variable.dtype.kind == "f" and not any(one in str(name) for one in UNBOUNDED)
        if bounded and np.isinf(variable.to_numpy()).any():
            raise Fault(f"{path} is damaged: {name} is infinite.")


def _scale(stored: h5py.Dataset, rounds: int | None) -> Any:
    if stored.dtype.kind == "O":
        return stored.asstr()[()].astype(str)
    return stored[slice(rounds)]


def _attributes(path: Path, file: h5py.File, done: int) -> dict[str, Any]:
    found = {key: _plain(value) for key, value in file.attrs.items()}
    # netCDF, to which a dataset may be saved, has no truth values.
    told = {
        key: int(value) if isinstance(value, bool) else value
        for key, value in flat(path, str(found["run_file"])).items()
    }
    completed = int(file[schema.COMPLETED][()]) if schema.COMPLETED in file else 0
    return {**told, **found, "rounds_done": done, "completed": completed, "path": str(path)}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
