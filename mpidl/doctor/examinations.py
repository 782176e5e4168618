"""Examinations: by the name of each part, the function that looks at it.

python -m mpidl.doctor.examinations PART...
"""

import json
import sys
from collections.abc import Callable
from functools import partial

from mpidl.doctor import launcher, libraries, machine, packages, probe
from mpidl.doctor.finding import Finding

APART: dict[str, Callable[[], Finding]] = {
    "MPI": libraries.mpi,
    "HDF5": libraries.hdf5,
    "torch": libraries.torch,
    "kernel": libraries.kernel,
    "accelerators": libraries.accelerators,
}
"""Parts whose libraries might end the process that loads them."""

HERE: dict[str, Callable[[], Finding]] = {
    "site": machine.site,
    "scheduler": machine.scheduler,
    "shared memory": machine.shared_memory,
    "cores": machine.cores,
}
"""Parts that are only read."""


def alone() -> list[Finding]:
    """Findings about all parts, of a process that is no rank."""
    first = [probe.guarded("Python", packages.python), probe.guarded("packages", packages.packages)]
    mpi, *loaded = probe.apart([*APART])
    started = probe.guarded("mpiexec", partial(launcher.launcher, works=not mpi.wrong))
    return [*first, mpi, started, *loaded, *_here()]


def of_rank() -> list[Finding]:
    """Findings about all parts but the launcher, of a rank, which loads all libraries itself."""
    first = [probe.guarded("Python", packages.python), probe.guarded("packages", packages.packages)]
    loaded = [probe.guarded(part, examine) for part, examine in APART.items()]
    return [*first, *loaded, *_here()]


def _here() -> list[Finding]:
    return [probe.guarded(part, examine) for part, examine in HERE.items()]


def answer(*parts: str) -> None:
    """Print what is found about some parts, for :func:`mpidl.doctor.probe.apart`."""
    for part in parts:
        if part == launcher.RANKS:
            launcher.ranks()
        else:
            print(f"\n{json.dumps(probe.guarded(part, APART[part]).plain())}", flush=True)


if __name__ == "__main__":
    answer(*sys.argv[1:])
