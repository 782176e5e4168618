"""Results files on the disk: their status, whether one may be written, and rounds to go on with."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.ranks import host
from mpidl.storage import schema, untrusted
from mpidl.storage.layout import draft

Array = npt.NDArray[Any]


UNITS = (1e9, "GB"), (1e6, "MB"), (1e3, "kB")
"""Units of sizes: bytes, and the unit's name."""


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
"""Python code that reads all of a file, and allocates no more memory than the file has bytes."""


def sound(path: Path) -> bool:
    """Whether all of an HDF5 file can be read; a separate process tries, as HDF5 may crash."""
    environment = {**host.unlaunched(os.environ), "MPI4PY_RC_INITIALIZE": "0"}
    words = [sys.executable, "-c", READ, str(path)]
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0


def status(path: Path) -> tuple[str, int, bool]:
    """The status of a results file: its run file, its number of rounds, whether it is completed.

    Raises:
        Fault: If it cannot be read, or is not a results file.
    """
    with untrusted.opened(path) as file:
        text = str(untrusted.attributes(file, ["run_file"])["run_file"])
        done = untrusted.number(file, schema.ROUNDS_DONE)
        return text, done, bool(untrusted.number(file, schema.COMPLETED))


def graph_digest(path: Path) -> str | None:
    """The digest of the graph in a results file; None if the file has none.

    Raises:
        Fault: If it cannot be read, or is not a results file.
    """
    with untrusted.opened(path) as file:
        names = [name for name in (schema.GRAPH_DIGEST,) if name in file.attrs]
        return untrusted.attributes(file, names).get(schema.GRAPH_DIGEST)


def completed(path: Path) -> bool:
    """Whether a file is a results file of a completed run."""
    try:
        return status(path)[2]
    except Fault:
        return False


def examine(path: Path, overwrite: bool, size: int = 0, leads: bool = True) -> None:
    """Check that a results file can be written; nothing is changed on the disk.

    Args:
        path: The results file to write.
        overwrite: Whether a completed run there may be replaced.
        size: The least bytes that it will have.
        leads: Whether this rank does the work; others return at once.

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
    """Make room for a results file; an unfinished one is moved aside, never lost.

    Args:
        path: The results file to write.
        overwrite: Whether a completed run there may be replaced.
        leads: Whether this rank does the work; others return at once.
        beside: Folders that belong to the file that is there, such as its checkpoints.
        goes_on: Whether all files stay there, as the run goes on with them.

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
        descriptor = os.open(draft(path), os.O_CREAT | os.O_WRONLY, 0o666)
        os.close(descriptor)
        draft(path).unlink()
    except OSError as error:
        raise Fault(f"Cannot write results to {path}: {error.strerror}.") from None


def _move_aside(path: Path, beside: Sequence[Path]) -> None:
    existing = [old for old in (path, *beside) if os.path.lexists(old)]
    names = (f"{path.stem}.unfinished-{k}" for k in range(1, 10**6))
    new = next(
        n for n in names if not any(os.path.lexists(o.with_name(n + o.suffix)) for o in existing)
    )
    for old in existing:
        old.rename(old.with_name(new + old.suffix))


def inherit(path: Path, past: Mapping[str, Array], same: Callable[[str], bool]) -> dict[str, Array]:
    """The past rounds of a run that goes on, from its checkpoint and its results file.

    A file that is damaged or of another run is moved aside.

    Args:
        path: The results file, if there is one.
        past: For each series the values of the first rounds, ``(r, N)`` or ``(r, N, C)``.
        same: Whether a resolved run file is that of this run.

    Returns:
        For each series the same values, followed by those of later rounds in the file.

    Raises:
        Fault: If a file cannot be moved aside.
    """
    known = dict(past)
    if not os.path.lexists(path):
        return known
    with suppress(Fault):
        text, done, _ = status(path)
        if sound(path) and same(text):
            with untrusted.opened(path) as file:
                group = untrusted.group(file, "series")
                # A damaged number of rounds would count rounds that were never written.
                unwritten = (untrusted.dataset(group, "finite")[: max(0, done)] < 0).any(axis=1)
                done = int(unwritten.argmax()) if unwritten.any() else len(unwritten)
                for key, first in past.items():
                    stored = untrusted.dataset(group, key) if key in group else first
                    later = stored[len(first) : done].reshape(-1, *first.shape[1:])
                    known[key] = np.concatenate([first, later])
            return known
    known = dict(past)
    try:
        _move_aside(path, ())
    except OSError as error:
        raise Fault(f"Cannot move {path} aside: {error.strerror}.") from None
    return known
