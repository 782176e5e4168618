"""Table of stacks and checks; a stack that is tried again replaces its column."""

import datetime
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mpidl.config import version
from mpidl.ranks import host

HEAD = (
    "# Stacks that mpidl is tried on",
    "",
    "Made by `python -m tests.stacks`, which sets each stack up and tries it; one that is tried "
    "again replaces its column.",
    "All have PyPI's mpi4py, and an h5py built on Debian's parallel HDF5. *Yes*: as promised, and "
    "all series of the results",
    "file but times and traffic equal, bit for bit, those of a run in one process on the first "
    "stack (on the stack itself,",
    "where torch is another one). Open MPI's mpiexec kills ranks at SIGINT and SIGTERM: there "
    "*yes* is that `--resume` goes",
    "on from the checkpoint before. `tests/mpi` are the quick tests of the commit. MPICH 4.0's "
    "mpiexec may end with 0 after a",
    "signal: there *yes* is that the ranks stopped with a checkpoint. A stack that "
    "was not tried says why at *MPI*.",
    "",
)

Column = Mapping[str, str]


def read(path: Path) -> dict[str, dict[str, str]]:
    """The columns of an earlier table, by stack."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    if not cells:
        return {}
    (_, *stacks), _, *body = cells
    return {
        stack: {row[0]: row[place] for row in body if row[place]}
        for place, stack in enumerate(stacks, 1)
    }


def write(path: Path, columns: Mapping[str, Column]) -> None:
    """Write it, with the rows in the order in which they come first."""
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    lines = [
        *HEAD,
        f"| | {' | '.join(columns)} |",
        f"|{' --- |' * (len(columns) + 1)}",
        *(f"| {row} | {' | '.join(c.get(row, '') for c in columns.values())} |" for row in rows),
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


@cache
def where() -> dict[str, str]:
    """When and where stacks are tried, and at which commit, before it has a table."""
    commit = version.commit()
    return {
        "commit": commit[:7] + "+" * commit.endswith("+"),
        "date": str(datetime.date.today()),
        "machine": f"{host.cores()} cores, Linux {platform.release()}",
    }
