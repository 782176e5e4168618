"""h5py, imported at its first use, so that commands that open no file need none of its libraries.

If it was built with MPI it needs an MPI library too, and some versions start MPI when imported.
Only :func:`mpidl.ranks.mpi_library.load` may do so, as a process without a launcher is no rank.
"""

import ctypes
import importlib
import importlib.util
import os
import sys
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
        Fault: If h5py, or a library that it needs, is missing.
    """
    _keep_quiet()
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


def _keep_quiet() -> None:
    """Keep HDF5 from closing files when a process exits; to be called before h5py is imported.

    When MPI aborts, every rank exits, and HDF5 would call MPI again to close an open file
    together: dozens of lines of C frames behind the traceback that matters, or a hang.
    """
    spec = importlib.util.find_spec("h5py")
    if spec is not None and spec.origin is not None and "h5py" not in sys.modules:
        for path in Path(spec.origin).parent.glob("defs.*"):
            with suppress(OSError, AttributeError):
                ctypes.CDLL(str(path)).H5dont_atexit()
