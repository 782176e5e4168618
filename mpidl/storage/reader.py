"""Reader of results files, of completed runs, killed runs, and runs that still write.

A file may come from anywhere. Sizes that it claims are compared with its own size before memory is
allocated, no link to another file is followed, and HDF5 never gets contents that would crash it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpidl.config.faults import Fault, printable
from mpidl.config.resolved import OPEN, flat
from mpidl.ranks import hdf5
from mpidl.storage import schema, untrusted, untrusted_texts

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DIMENSIONS", "flat", "open", "settings"]

DIMENSIONS = ("round", "device", "class", "edge", "end", "member", "mode")

COORDINATES = ("name", "hops", "source", "attacker", "rank")
"""Variables that describe a device; xarray can group by them."""

REQUIRED = {
    "graph": ("edges", "hops"),
    "placement": ("source", "rank"),
    "series": ("train_loss", "consensus_distance", "bytes_sent"),
}
"""Variables by group that are in every results file."""

UNBOUNDED = ("loss", "consensus")
"""Parts of the names of series that may be infinite, as training may diverge; beside these only
series of a run's own may."""


def open(path: Path | str, names: Iterable[str] | None = None) -> "xr.Dataset":
    """Read a results file as labelled arrays.

    The file becomes one dataset with the dimensions ``round`` (from 0), ``device``, ``class``,
    ``edge``, ``end``, ``member`` and ``mode``; :mod:`mpidl.storage.schema` describes each variable,
    and each has ``long_name`` and ``units``. Only complete rounds are read, so the dataset of a
    run that was killed, or still goes on, has fewer rounds than ``attrs["training.rounds"]``.
    Attributes: every setting of the resolved run file, as ``"section.key"``; its text as
    ``run_file``; versions and machine; ``rounds_done``, ``completed`` and ``path``.

    The file is not locked, so a run that writes it at the same time is not disturbed.

    Args:
        path: A results file.
        names: The variables to read, beside the series of the run's own; all by default.

    Raises:
        Fault: If the file is missing, damaged, truncated, not mpidl's, or of a newer schema.
    """
    with untrusted.opened(Path(path)) as file:
        return _dataset(Path(path), file, None if names is None else set(names))


def settings(path: Path | str) -> tuple[dict[str, Any], int]:
    """All settings of a run, as ``"section.key"``, and the number of complete rounds in its file.

    The settings include the :data:`mpidl.storage.schema.DIGESTS` of its graph and data, if the file
    has them.

    Raises:
        Fault: As :func:`open`.
    """
    with untrusted.opened(Path(path)) as file:
        names = [name for name in schema.DIGESTS if name in file.attrs]
        digests = untrusted.attributes(file, names)
        return {**flat(Path(path), _run_file(file)), **digests}, _done(file)


def _run_file(file: "hdf5.File") -> str:
    return str(untrusted.attributes(file, ["run_file"]).get("run_file", ""))


def _done(file: "hdf5.File") -> int:
    """Number of complete rounds."""
    done = untrusted.number(file, schema.ROUNDS_DONE)
    if done < 0:
        raise ValueError(f"{schema.ROUNDS_DONE} is {done}")
    return done


def _dataset(path: Path, file: "hdf5.File", names: set[str] | None) -> "xr.Dataset":
    try:
        import xarray as xr
    except ModuleNotFoundError:
        raise Fault("Labelled arrays need xarray: pip install 'mpidl[report]'.") from None
    room = untrusted.size(file)
    done = _done(file)
    known = {name for layouts in schema.GROUPS.values() for name in layouts}
    left_out = set() if names is None else known - names - {*COORDINATES}
    variables: dict[str, Any] = {}
    scales: dict[str, Any] = {}
    for group, layouts in untrusted.layouts(file).items():
        members = untrusted.group(file, group) if group in file else {}
        for name in REQUIRED[group]:
            if name not in members:
                raise Fault(f"{path} is damaged: it lacks {group}/{name}.")
        for name, layout in layouts.items():
            if name not in members or name in left_out:
                continue
            stored = untrusted.dataset(members, name)
            untrusted.check_size(path, stored, len(layout.dims), room)
            if stored.dtype.kind != layout.dtype[0]:
                raise ValueError(f"{stored.name} holds {stored.dtype}")
            # Rounds beyond the count may be half written.
            chosen = slice(done) if layout.dims[0] == "round" else slice(None)
            attributes = {"long_name": layout.text, "units": layout.unit}
            values = _scale(path, stored, None) if layout.dtype == "O" else stored[chosen]
            variables[name] = xr.Variable(layout.dims, values, attributes)
            for dim in layout.dims:
                if dim not in scales and dim in members:
                    scale = untrusted.dataset(members, dim)
                    untrusted.check_size(path, scale, 1, room)
                    scales[dim] = _scale(path, scale, done if dim == "round" else None)
    coordinates = {name: variables.pop(name) for name in COORDINATES if name in variables}
    dataset = xr.Dataset(variables, {**scales, **coordinates})
    _check_values(path, dataset)
    dataset.attrs = _attributes(path, file, done)
    return dataset


def _check_values(path: Path, run: "xr.Dataset") -> None:
    devices = run.sizes["device"]
    if "edges" in run and ((run["edges"] < 0) | (run["edges"] >= devices)).any():
        raise Fault(f"{path} is damaged: it has links between more devices than its {devices}.")
    for name, variable in run.variables.items():
        known = any(name in layouts for layouts in schema.GROUPS.values())
        free = not known or any(part in str(name) for part in UNBOUNDED)
        bounded = variable.dtype.kind == "f" and not free
        if bounded and np.isinf(variable.to_numpy()).any():
            raise Fault(f"{path} is damaged: {name} is infinite.")


def _scale(path: Path, stored: "hdf5.Dataset", rounds: int | None) -> Any:
    if stored.dtype.kind in "iuf":
        return stored[slice(rounds)]
    if hdf5.check_string_dtype(stored.dtype) is None:
        raise ValueError(f"{stored.name} holds {stored.dtype}")
    if stored.dtype.kind != "O":
        return np.char.decode(stored[()], "utf-8")
    # A damaged text of variable length can crash HDF5, so its place is read here.
    offset = stored.id.get_offset()
    if offset is None:
        raise ValueError(f"{stored.name} is not laid out as mpidl does it")
    with Path(stored.file.filename).open("rb") as file:
        texts = untrusted_texts.texts(file, offset, len(stored))
    if len(texts) * max(map(len, texts), default=0) > untrusted_texts.TEXTS:
        raise ValueError(f"{stored.name} has a text of {max(map(len, texts)):,} characters")
    return np.array([printable(text) for text in texts], dtype=str)


def _storable(value: Any) -> Any:
    """A setting as netCDF takes it, which has neither booleans nor lists of lists."""
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return str(value)
    return int(value) if isinstance(value, bool) else value


def _attributes(path: Path, file: "hdf5.File", done: int) -> dict[str, Any]:
    stored = untrusted.attributes(file, file.attrs)
    # A loop of the caller's own may have gone on for as long as it liked.
    resolved = {OPEN: done, **flat(path, str(stored.get("run_file", "")))}
    storable = {key: _storable(value) for key, value in resolved.items()}
    completed = untrusted.number(file, schema.COMPLETED) if schema.COMPLETED in file else 0
    return {**storable, **stored, "rounds_done": done, "completed": completed, "path": str(path)}
