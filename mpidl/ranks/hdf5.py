"""h5py, imported at its first use, so that commands that open no file need none of its libraries.

If it was built with MPI it needs an MPI library too, and some versions start MPI when imported.
Only :func:`mpidl.ranks.mpi_library.load` may do so, as a process without a launcher is no rank.
"""

import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mpidl.config.faults import Fault

SWITCH = "MPI4PY_RC_INITIALIZE"
"""Environment variable; if it is 0, importing mpi4py does not start MPI."""


def __getattr__(name: str) -> Any:
    return getattr(load(), name)


@cache
def load() -> Any:
    """Import h5py.

    Raises:
        Fault: If h5py, or a library that it needs, is missing, or would crash beside mpi4py's MPI.
    """
    libraries = _libraries()
    _check_kind(libraries)
    _keep_quiet(libraries)
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "0"
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise Fault(
            f"h5py cannot be loaded ({error}): if it was built with MPI, load the module of that "
            "MPI; 'pip install --force-reinstall h5py' installs one that needs no MPI."
        ) from None
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before


def _libraries() -> list[Path]:
    """A part of h5py that is linked to HDF5; none where h5py is missing, or imported already."""
    spec = importlib.util.find_spec("h5py")
    if spec is None or spec.origin is None or "h5py" in sys.modules:
        return []
    return [*Path(spec.origin).parent.glob("defs.*")]


def _check_kind(libraries: Sequence[Path]) -> None:
    """Refuse an h5py that was built for Open MPI beside another MPI, or for another one beside it.

    Their binary interfaces differ, so that its import would end the process by a signal.
    """
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or mpi.__file__ is None:
        return
    kinds = {is_open_mpi(path) for path in (mpi.__file__, *map(str, libraries))}
    if len(kinds - {None}) > 1:
        raise Fault(
            f"h5py was built for another kind of MPI than mpi4py runs on ({mpi.get_vendor()[0]}): "
            "build h5py and its HDF5 with that one, or 'pip install --force-reinstall h5py' "
            "installs one that needs no MPI."
        )


def is_open_mpi(path: str) -> bool | None:
    """Whether a library is linked to Open MPI; None if it is linked to no MPI."""
    with suppress(OSError):
        library = ctypes.CDLL(path)
        if hasattr(library, "MPI_Get_library_version"):
            return hasattr(library, "ompi_mpi_comm_world")
    return None


def _keep_quiet(libraries: Sequence[Path]) -> None:
    """Keep HDF5 from closing files when a process exits; to be called before h5py is imported.

    When MPI aborts, every rank exits, and HDF5 would call MPI again to close an open file
    together: dozens of lines of C frames behind the traceback that matters, or a hang.
    """
    for path in libraries:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(str(path)).H5dont_atexit()
