"""Repacked files: results files that another program rewrote, such as h5repack or nccopy.

HDF5 reads the texts and packed chunks of such a file without a checksum, and may crash over a
damaged one. So a separate process with limits copies it to a file as mpidl writes it: ``python -m
mpidl.storage.repacked FILE COPY`` ends with exit code 0, or says why it cannot.
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
"""Most bytes that the data of a file may take unpacked, unless the file itself is larger."""

MEMORY, SECONDS = 2**33, 60
"""Limits of the process: address space, and processor time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    source, target = map(Path, sys.argv[1:] if arguments is None else arguments)
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, most))

    def work() -> int:
        with untrusted.unguarded(source) as file:
            copy(source, file, target)
        return 0

    return command(work)


def copy(path: Path, file: "hdf5.File", target: Path) -> None:
    """Copy the parts of a results file that mpidl knows, and no others.

    Args:
        path: The results file.
        file: The same file, open.
        target: The path of the copy.

    Raises:
        Fault: If its data would be too large unpacked.
    """
    datasets = _datasets(file)
    size = sum(max(_extent(stored), 1) * stored.dtype.itemsize for stored in datasets.values())
    pieces = (math.prod(s.chunks or ()) * s.dtype.itemsize for s in datasets.values())
    claimed = max(size, *pieces)
    if claimed > max(LARGEST, untrusted.size(file)):
        raise Fault(
            f"{path} was packed by another program and claims to unpack to {claimed:,} bytes; at "
            f"most {LARGEST:,} are unpacked; 'h5repack -L -f NONE -l CONTI "
            f"{path} COPY' makes a file that can be read."
        )
    with hdf5.File(target, "w", libver=("v108", "v110")) as new:
        # Attributes of netCDF itself begin with "_".
        names = [key for key in file.attrs if not key.startswith("_")]
        for key, value in untrusted.attributes(file, names).items():
            new.attrs[key] = value
        for name, stored in datasets.items():
            if hdf5.check_string_dtype(stored.dtype) is None:
                new.create_dataset(name, data=stored[()])
            else:
                new.create_dataset(name, data=stored.asstr()[()], dtype=hdf5.string_dtype())


def _datasets(file: "hdf5.File") -> "dict[str, hdf5.Dataset]":
    """The data sets of a results file and their scales, by name."""
    datasets = {
        name: untrusted.dataset(file, name)
        for name in (schema.ROUNDS_DONE, schema.COMPLETED)
        if name in file
    }
    for name, layouts in untrusted.layouts(file).items():
        if name not in file:
            continue
        group = untrusted.group(file, name)
        scales = dict.fromkeys(dim for layout in layouts.values() for dim in layout.dims)
        for key in (*layouts, *scales):
            if key in group:
                datasets[f"{name}/{key}"] = untrusted.dataset(group, key)
    return datasets


def _extent(stored: "hdf5.Dataset") -> int:
    return math.prod(stored.shape or ())


if __name__ == "__main__":
    sys.exit(main())
