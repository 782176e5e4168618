"""h5py, imported at its first use, so that commands that open no file need none of its libraries.

If it was built with MPI it needs an MPI library too, and some versions start MPI when imported.
Only :func:`mpidl.ranks.world.load` may start MPI, as a process without a launcher is not a rank.
"""

import importlib
import os
from functools import cache
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
