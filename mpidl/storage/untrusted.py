"""A results file opened with care: what it claims is checked before anything is done about it."""

import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mpidl.config.faults import Fault, printable, shown
from mpidl.ranks import hdf5, host
from mpidl.storage import schema, untrusted_texts

BROKEN = (
    *(OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, NotImplementedError),
)
"""What h5py and numpy raise over the contents of a damaged file."""


PATIENCE = 300.0
"""Seconds for which the copy of a file that another program wrote anew is waited for."""


@contextmanager
def opened(path: Path) -> "Iterator[hdf5.File]":
    """A results file, open for reading and known to be one.

    One that another program wrote anew, such as h5repack or nccopy, is copied as mpidl would have
    written it (:mod:`mpidl.storage.repacked`), and the copy is open.

    Raises:
        Fault: If it is not, or if what is done with it shows that it is damaged.
    """
    if _examine(path):
        with unguarded(path) as file:
            # netCDF has no attribute that is one value, only lists of one.
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
    """A results file, or a copy of it, given to HDF5 whatever is in it.

    Raises:
        Fault: If it is none, or if what is done with it shows that it is damaged.
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
    """Let a process of its own copy a file, as HDF5 may end it over a damaged one."""
    words = [sys.executable, "-m", "mpidl.storage.repacked", str(path), str(copy)]
    environment = host.unlaunched(os.environ)
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise _damaged(path, ValueError(f"{PATIENCE:g} s did not unpack it")) from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise _damaged(path, ValueError(f"HDF5 ended over it ({name})"))
    if done.returncode:
        told = done.stderr.decode(errors="replace").splitlines() or [f"{path} is damaged."]
        raise Fault(told[-1].removeprefix("mpidl: "))


def _damaged(path: Path, error: Exception) -> Fault:
    told = printable(" ".join(str(error).strip("'\"").split()))
    return Fault(f"{path} is damaged and cannot be read: {told}.")


def _examine(path: Path) -> bool:
    """Look at what HDF5 does not check before it is given the file.

    Returns:
        Whether the structure of the file has checksums, or it is no HDF5 file at all.
    """
    try:
        if not path.is_file():
            raise _unreadable(path, OSError())
        with path.open("rb") as file:
            if untrusted_texts.modern(file):
                if (size := file.seek(0, os.SEEK_END)) < untrusted_texts.promised(file):
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
        what = "it does not exist" if gone else str(problem.strerror).lower()
        return Fault(f"Cannot read results from {path}: {what}.")
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
            f"{path} has schema {shown(version)}, and this mpidl reads schemas up to "
            f"{schema.VERSION}: take a newer mpidl."
        )


def number(file: "hdf5.File", name: str) -> int:
    """A data set that is one whole number."""
    stored = dataset(file, name)
    if stored.shape != () or stored.dtype.kind not in "iu":
        raise ValueError(f"{name} is not one whole number")
    return int(stored[()])


def dataset(group: "hdf5.Group", name: str) -> "hdf5.Dataset":
    """A data set that lies in this file, whole."""
    link = group.get(name, getlink=True)
    stored = group[name] if isinstance(link, hdf5.HardLink) else None
    if not isinstance(stored, hdf5.Dataset):
        raise ValueError(f"{name} is no data set of this file")
    how = stored.id.get_create_plist()
    own = hdf5.h5d.COMPACT, hdf5.h5d.CONTIGUOUS, hdf5.h5d.CHUNKED
    if how.get_layout() not in own or how.get_external_count():
        raise ValueError(f"{name} is kept outside this file")
    return stored


def group(file: "hdf5.File", name: str) -> "hdf5.Group":
    """A group that lies in this file."""
    link = file.get(name, getlink=True)
    found = file[name] if isinstance(link, hdf5.HardLink) else None
    if not isinstance(found, hdf5.Group):
        raise ValueError(f"{name} is no group of this file")
    return found


def check_size(path: Path, stored: "hdf5.Dataset", dims: int, room: int) -> None:
    """Refuse what claims more than the file can hold, before memory is taken for it."""
    piece = math.prod(stored.chunks or ()) * stored.dtype.itemsize
    if stored.ndim != dims or max(stored.nbytes, piece) > room:
        raise Fault(
            f"{path} is damaged: {stored.name} claims the shape {stored.shape} in a file of "
            f"{room:,} bytes."
        )


def size(file: "hdf5.File") -> int:
    """Bytes of an open file, which may be the copy of another one."""
    return os.stat(file.filename).st_size


def attributes(file: "hdf5.File", names: Iterable[str]) -> dict[str, Any]:
    """Attributes of a file that are one number or one text each; others are none of mpidl's."""
    room = size(file)
    found: dict[str, Any] = {}
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
        found[printable(name)] = value
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value
