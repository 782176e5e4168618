"""Reads results files: finished, killed, or still being written."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mpidl import schema
from mpidl.faults import Fault, shown

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

DIMENSIONS = ("round", "device", "class", "edge", "end", "member", "mode")

COORDINATES = ("hops", "source", "rank")
"""What a device is, beside its number: xarray can group by these."""

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


def settings(path: Path | str) -> dict[str, Any]:
    """Every setting of the resolved run file of a results file, as ``"section.key"``.

    Raises:
        Fault: As of :func:`open`.
    """
    with _opened(Path(path)) as file:
        return flat(Path(path), str(file.attrs["run_file"]))


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
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        return Fault(f"Cannot read results from {path}: it {what}.")
    if not os.access(path, os.R_OK):
        return Fault(f"Cannot read results from {path}: permission denied.")
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
    dataset.attrs = _attributes(path, file, done)
    return dataset


def _check_size(path: Path, stored: h5py.Dataset, dims: int, room: int) -> None:
    """Refuse what claims more than the file can hold, before memory is taken for it."""
    if stored.ndim != dims or stored.nbytes > room:
        raise Fault(
            f"{path} is damaged: {stored.name} claims the shape {stored.shape} in a file of "
            f"{room:,} bytes."
        )


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


class Study(Mapping[str, "xr.Dataset"]):
    """The runs of a study: a dataset each, read when it is asked for.

    ``study["name"]`` reads a run as :func:`open` does; ``study.settings`` says in what the runs
    differ. Names are the files', with as much of their folders as tells them apart.

    Args:
        paths: HDF5 files; of each only the attributes are read now.

    Attributes:
        paths: The results file of each run, by name.
        skipped: Why each other file is none of the runs, a sentence each.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._settings: dict[Path, dict[str, Any]] = {}
        rounds: dict[Path, int] = {}
        skipped: list[str] = []
        for path in paths:
            try:
                with _opened(path) as file:
                    self._settings[path] = flat(path, str(file.attrs["run_file"]))
                    rounds[path] = _done(file)
            except Fault as fault:
                skipped += fault.sentences
        self.paths, doubles = choose(self._settings, rounds)
        self.skipped = [*skipped, *doubles]

    def __getitem__(self, name: str) -> "xr.Dataset":
        return open(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def settings(self) -> "pd.DataFrame":
        """A line for each run and a column for each setting that is not the same in all of them."""
        import pandas as pd

        rows = [self._settings[path] for path in self.paths.values()]
        keys = dict.fromkeys(key for row in rows for key in row if key != "name")
        differ = [key for key in keys if len({str(row.get(key)) for row in rows}) > 1]
        columns = {key: [row.get(key) for row in rows] for key in differ}
        return pd.DataFrame(columns, index=pd.Index(list(self), name="run"))


def choose(
    settings: Mapping[Path, Mapping[str, Any]], rounds: Mapping[Path, int]
) -> tuple[dict[str, Path], list[str]]:
    """One file for each run, by a name that tells it from all others.

    A run that was interrupted and begun anew left a file aside: of files in the same folder with
    the same settings, the run's name among them, the one with the most rounds is taken.

    Args:
        settings: Of each results file.
        rounds: That are whole in it.

    Returns:
        The files by name, and a sentence for each other one.
    """
    alike: dict[tuple[Path, str], list[Path]] = {}
    for path, told in settings.items():
        alike.setdefault((path.parent, str(told)), []).append(path)
    best = [max(paths, key=lambda path: rounds[path]) for paths in alike.values()]
    left = [path for path in settings if path not in best]
    sentences = [
        f"{path} is left out: another file beside it has more of its run." for path in left
    ]
    return _named(best), sentences


def _named(paths: list[Path]) -> dict[str, Path]:
    """Each path by the shortest of its ends that tells it from all others, without suffix."""
    depth = max((len(path.parts) for path in paths), default=0)
    for parts in range(1, depth + 1):
        found = {"/".join(path.with_suffix("").parts[-parts:]): path for path in paths}
        if len(found) == len(paths):
            return found
    return {str(path): path for path in paths}


def files(place: Path) -> list[Path]:
    """The HDF5 files in a folder and below it, in order; or the one file.

    Raises:
        Fault: If there is nothing of that name.
    """
    if place.is_dir():
        return sorted(path for path in place.rglob("*.h5") if path.is_file())
    if not place.exists():
        raise Fault(f"Cannot read results from {place}: it does not exist.")
    return [place]


def open_study(folder: Path | str) -> Study:
    """Find the runs of a study: all results files in a folder and below it.

    Only attributes are read; each run is read when it is asked for.

    Raises:
        Fault: If there is no such folder, or no results file in it.
    """
    found = Study(files(Path(folder)))
    if not found:
        raise Fault(f"{folder} holds no results file of mpidl.")
    return found
