"""Copies a results file that another program wrote anew, such as h5repack or nccopy, as mpidl does.

Such a file has texts and packed pieces where HDF5 follows what it is told without a checksum, and
may end the process over a damaged one. So this is a process of its own, with limits: ``python -m
mpidl.storage.repacked FILE COPY`` copies all that a results file has, with exit code 0, or says why
not.
"""

import math
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from mpidl.config.faults import Fault, command
from mpidl.ranks import hdf5
from mpidl.storage import schema, untrusted

LARGEST = 2**30
"""Bytes that all data of a file may take once unpacked, unless the file is larger."""

MEMORY, SECONDS = 2**33, 60
"""Limits of the process: address space, and processor time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    source, target = map(Path, sys.argv[1:] if arguments is None else arguments)
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        _, most = resource.getrlimit(what)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (limit, most))

    def work() -> int:
        with untrusted.unguarded(source) as file:
            copy(source, file, target)
        return 0

    return command(work)


def copy(path: Path, file: "hdf5.File", target: Path) -> None:
    """Copy what a results file has, and nothing else that is in it.

    Args:
        path: The results file.
        file: The same, open.
        target: The copy to be.

    Raises:
        Fault: If it claims too much.
    """
    found = _found(file)
    size = sum(max(_extent(stored), 1) * stored.dtype.itemsize for stored in found.values())
    pieces = (math.prod(s.chunks or ()) * s.dtype.itemsize for s in found.values())
    claimed = max(size, *pieces)
    if claimed > max(LARGEST, untrusted.size(file)):
        raise Fault(
            f"{path} was packed by another program and claims to unpack to {claimed:,} bytes, and "
            f"no more than {LARGEST:,} are unpacked to read it; 'h5repack -L -f NONE -l CONTI "
            f"{path} COPY' makes a file that is read."
        )
    with hdf5.File(target, "w", libver=("v108", "v110")) as new:
        # netCDF's own attributes begin so.
        told = [key for key in file.attrs if not key.startswith("_")]
        for key, value in untrusted.attributes(file, told).items():
            new.attrs[key] = value
        for name, stored in found.items():
            if hdf5.check_string_dtype(stored.dtype) is None:
                new.create_dataset(name, data=stored[()])
            else:
                new.create_dataset(name, data=stored.asstr()[()], dtype=hdf5.string_dtype())


def _found(file: "hdf5.File") -> "dict[str, hdf5.Dataset]":
    """The data sets of a results file and their scales, by name."""
    found = {
        name: untrusted.dataset(file, name)
        for name in (schema.ROUNDS_DONE, schema.COMPLETED)
        if name in file
    }
    for name, layouts in schema.GROUPS.items():
        if name not in file:
            continue
        group = untrusted.group(file, name)
        scales = dict.fromkeys(dim for layout in layouts.values() for dim in layout.dims)
        for key in (*layouts, *scales):
            if key in group:
                found[f"{name}/{key}"] = untrusted.dataset(group, key)
    return found


def _extent(stored: "hdf5.Dataset") -> int:
    return math.prod(stored.shape or ())


if __name__ == "__main__":
    sys.exit(main())
