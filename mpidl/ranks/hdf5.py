"""h5py, loaded when it is first used: what opens no file needs none of its libraries.

Built with MPI it needs an MPI library too, and some versions start MPI when they are imported; only
:func:`mpidl.ranks.world.load` may do that, as a process that no launcher started is no rank.
"""

import importlib
import os
from functools import cache
from typing import Any

from mpidl.config.faults import Fault

SWITCH = "MPI4PY_RC_INITIALIZE"
"""Variable of the environment; with 0 importing mpi4py does not start MPI."""


def __getattr__(name: str) -> Any:
    return getattr(load(), name)


@cache
def load() -> Any:
    """Import h5py.

    Raises:
        Fault: If it, or a library that it needs, is not there.
    """
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "0"
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise Fault(
            f"h5py cannot be loaded ({error}): where it was built with MPI it needs the module of "
            "that MPI; 'pip install --force-reinstall h5py' brings one that needs none."
        ) from None
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before
