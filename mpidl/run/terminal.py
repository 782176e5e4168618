"""Terminal that the user of a run watches, from a rank."""

import os
import shutil
import sys
from pathlib import Path

ANCESTORS = 6
"""Most generations up to the launcher: proxies or shells stand between it and the ranks."""

LAUNCHERS = ("mpiexec", "mpirun", "srun", "prterun", "orterun")
"""Beginnings of the names of launchers; the last two are what Open MPI's mpiexec really is."""

UNKNOWN = 80
"""Columns of a terminal that does not tell them."""


def columns() -> int | None:
    """The columns of the terminal that the user watches; None without one.

    A launcher passes on what ranks print, from a pipe or, as Open MPI's, from a terminal that it
    made for them. So it counts whether the launcher itself, a parent of this process, writes to a
    terminal. On other nodes than the launcher's nothing tells, and there is none.
    """
    if _own():
        return shutil.get_terminal_size().columns
    process = os.getppid()
    try:
        for _ in range(ANCESTORS):
            place = Path(f"/proc/{process}")
            if (place / "comm").read_text().startswith(LAUNCHERS):
                return _width(place / "fd/1")
            process = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        pass
    return None


def _own() -> bool:
    """Whether output goes to the terminal that controls this process, not one of a launcher's."""
    if not sys.stdout.isatty():
        return False
    try:
        os.tcgetpgrp(sys.stdout.fileno())
    except OSError:
        return False
    return True


def _width(descriptor: Path) -> int | None:
    """The columns of the terminal that another process writes to; None if it is none."""
    output = Path(os.readlink(descriptor))
    if output.parts[:2] != ("/", "dev") or output.parts[2:3] not in (("pts",), ("tty",)):
        return None
    with output.open("rb") as terminal:
        return os.get_terminal_size(terminal.fileno()).columns or UNKNOWN
