"""Untrusted results files, whose claims are checked before they are used."""

import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mpidl.config.faults import Fault, printable, shown
from mpidl.ranks import hdf5, host
from mpidl.storage import run_series, schema, untrusted_texts
from mpidl.storage.schema import Variable

BROKEN = (
    *(OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, NotImplementedError),
)
"""Errors that h5py and numpy raise on the contents of a damaged file."""


PATIENCE = 300.0
"""Seconds that copying a file may take that another program rewrote."""


@contextmanager
def opened(path: Path) -> "Iterator[hdf5.File]":
    """A checked results file, open for reading.

    A file that another program rewrote, such as h5repack or nccopy, is copied to a file as mpidl
    writes it (:mod:`mpidl.storage.repacked`), and the copy is opened.

    Raises:
        Fault: If it is not a results file, or is found to be damaged while the context uses it.
    """
    if _examine(path):
        with unguarded(path) as file:
            # netCDF has no scalar attributes, only lists of one value.
            if file.attrs.get_id("schema").shape == ():
                yield file
                return
    with tempfile.TemporaryDirectory(prefix="mpidl-") as folder:
        copy = Path(folder) / "copy.h5"
        _repack(path, copy)
        with unguarded(path, copy) as file:
            yield file


@contextmanager
def unguarded(path: Path, copy: Path | None = None) -> "Iterator[hdf5.File]":
    """A results file, or a copy of it, opened by HDF5 without a look at its structure.

    Raises:
        Fault: If it is not a results file, or is found to be damaged while the context uses it.
    """
    try:
        file = hdf5.File(copy or path, "r", locking=False)
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        try:
            _check(path, file)
            yield file
        except Fault:
            raise
        except BROKEN as error:
            raise _damaged(path, error) from None


def _repack(path: Path, copy: Path) -> None:
    """Let a separate process copy a file, as HDF5 may crash over a damaged one."""
    words = [sys.executable, "-m", "mpidl.storage.repacked", str(path), str(copy)]
    environment = host.unlaunched(os.environ)
    try:
        process = subprocess.run(
            words, env=environment, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise _damaged(path, ValueError(f"{PATIENCE:g} s did not unpack it")) from None
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise _damaged(path, ValueError(f"HDF5 crashed over it ({name})"))
    if process.returncode:
        lines = process.stderr.decode(errors="replace").splitlines() or [f"{path} is damaged."]
        raise Fault(lines[-1].removeprefix("mpidl: "))


def _damaged(path: Path, error: Exception) -> Fault:
    reason = printable(" ".join(str(error).strip("'\"").split()))
    return Fault(f"{path} is damaged and cannot be read: {reason}.")


def _examine(path: Path) -> bool:
    """Check the parts of a file that HDF5 does not check.

    Returns:
        True if the structure of the file has checksums, or if it is not an HDF5 file.
    """
    try:
        if not path.is_file():
            raise _unreadable(path, OSError())
        with path.open("rb") as file:
            if untrusted_texts.has_checksums(file):
                if (size := file.seek(0, os.SEEK_END)) < untrusted_texts.stated_size(file):
                    raise Fault(f"{path} is truncated: only {size:,} bytes of it are there.")
                untrusted_texts.check(file)
                return True
            return not hdf5.is_hdf5(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except Fault:
        raise
    except ValueError as error:
        raise _damaged(path, error) from None


def _foreign(path: Path) -> Fault:
    return Fault(f"{path} is not a results file of mpidl: it is another HDF5 file.")


def _unreadable(path: Path, error: OSError) -> Fault:
    try:
        kind = path.stat().st_mode
    except OSError as problem:
        gone = isinstance(problem, FileNotFoundError)
        reason = "it does not exist" if gone else str(problem.strerror).lower()
        return Fault(f"Cannot read results from {path}: {reason}.")
    if not os.access(path, os.R_OK):
        return Fault(f"Cannot read results from {path}: permission denied.")
    if not stat.S_ISREG(kind):
        return Fault(f"Cannot read results from {path}: it is not a file.")
    if not hdf5.is_hdf5(path):
        return Fault(f"{path} is not a results file of mpidl: it is not an HDF5 file.")
    return Fault(f"{path} is damaged and cannot be read: {error}.")


def _check(path: Path, file: "hdf5.File") -> None:
    if not {"schema", "run_file"} <= set(file.attrs) or schema.ROUNDS_DONE not in file:
        raise _foreign(path)
    version = attributes(file, ["schema"]).get("schema")
    if not isinstance(version, int) or version > schema.VERSION:
        raise Fault(
            f"{path} has schema {shown(version)}, and this version of mpidl reads schemas up to "
            f"{schema.VERSION}: use a newer version."
        )


def number(file: "hdf5.File", name: str) -> int:
    """The integer in a scalar data set."""
    stored = dataset(file, name)
    if stored.shape != () or stored.dtype.kind not in "iu":
        raise ValueError(f"{name} is not one integer")
    return int(stored[()])


def dataset(group: "hdf5.Group", name: str) -> "hdf5.Dataset":
    """A data set whose data is all in this file."""
    link = group.get(name, getlink=True)
    stored = group[name] if isinstance(link, hdf5.HardLink) else None
    if not isinstance(stored, hdf5.Dataset):
        raise ValueError(f"{name} is no data set of this file")
    properties = stored.id.get_create_plist()
    layouts = hdf5.h5d.COMPACT, hdf5.h5d.CONTIGUOUS, hdf5.h5d.CHUNKED
    if properties.get_layout() not in layouts or properties.get_external_count():
        raise ValueError(f"{name} is stored outside this file")
    return stored


def group(file: "hdf5.File", name: str) -> "hdf5.Group":
    """A group that is in this file."""
    link = file.get(name, getlink=True)
    member = file[name] if isinstance(link, hdf5.HardLink) else None
    if not isinstance(member, hdf5.Group):
        raise ValueError(f"{name} is no group of this file")
    return member


def layouts(file: "hdf5.File") -> dict[str, Mapping[str, Variable]]:
    """The variables that each group of a file may have, with the series of its run's own."""
    named = [schema.OWN_SERIES] if schema.OWN_SERIES in file.attrs else []
    own = run_series.listed(attributes(file, named).get(schema.OWN_SERIES))
    return {**schema.GROUPS, "series": {**schema.SERIES, **own}}


def check_size(path: Path, stored: "hdf5.Dataset", dims: int, room: int) -> None:
    """Refuse a data set that claims more than the file can hold, before memory is allocated."""
    chunk = math.prod(stored.chunks or ()) * stored.dtype.itemsize
    if stored.ndim != dims or max(stored.nbytes, chunk) > room:
        raise Fault(
            f"{path} is damaged: {stored.name} claims the shape {stored.shape} in a file of "
            f"{room:,} bytes."
        )


def size(file: "hdf5.File") -> int:
    """Bytes of an open file, or of the copy that was opened in its place."""
    return os.stat(file.filename).st_size


def attributes(file: "hdf5.File", names: Iterable[str]) -> dict[str, Any]:
    """Attributes that are one number or one text each; others are not mpidl's and left out."""
    room = size(file)
    values: dict[str, Any] = {}
    for name in names:
        stored = hdf5.h5a.open(file.id, name.encode("utf-8", "surrogateescape"))
        text = hdf5.check_string_dtype(stored.dtype) is not None
        if stored.shape not in ((), (1,)) or not (text or stored.dtype.kind in "iufb"):
            continue
        if stored.dtype.itemsize > room:
            raise ValueError(f"the attribute {name} claims {stored.dtype.itemsize:,} bytes")
        value = _plain(file.attrs[name])
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            value = value if name == "run_file" else printable(value)
            room -= len(value)
            if room < 0:
                raise ValueError("its attributes claim more than it holds")
        values[printable(name)] = value
    return values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value
