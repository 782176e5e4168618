"""MPI library: its start, its name, the accelerator memory that it takes, the library of HDF5."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mpidl.config.faults import Fault
from mpidl.ranks import hdf5, host, importer, launcher

host.advise()

NO = ("0", "n", "no", "false", "off")
"""What mpi4py takes for no in a variable."""

SWITCHES = ("MPICH_GPU_SUPPORT_ENABLED", "MPIR_CVAR_ENABLE_GPU")
"""Variables which, set to 1, let Cray MPICH and Aurora's MPICH take accelerator memory."""


def load() -> None:
    """Import MPI, and start it unless the environment or a program forbids that, or in a fork.

    Only this function does, so that a command without ranks needs no MPI.

    Raises:
        Fault: If MPI cannot be loaded, or will not join the ranks of this launcher.
    """
    try:
        import mpi4py

        starts = "mpi4py.MPI" not in sys.modules and _wanted(mpi4py.rc)
        if starts or importer.forked:
            # The import would start it unseen; in a forked rank nothing would finalize it.
            mpi4py.rc.initialize, mpi4py.rc.finalize = False, starts
        from mpi4py import MPI

        if not MPI.Is_initialized():
            launcher.check_joins(*MPI.get_vendor(), MPI.Get_library_version())
            if starts:
                MPI.Init_thread()
    except (ImportError, RuntimeError) as error:
        *_, reason = str(error).strip().splitlines()[:2]
        raise Fault(
            f"MPI cannot be loaded ({reason}): 'pip install mpi4py mpich' installs one; on a "
            "cluster, load the module of the MPI for which mpi4py was built."
        ) from None


def _wanted(rc: Any) -> bool:
    """Whether the import of mpi4py is to start MPI, by its settings and their variables."""
    given = os.environ.get("MPI4PY_RC_INITIALIZE", "yes").lower() not in NO
    return given and bool(rc.initialize) and not importer.forked


@contextmanager
def started() -> Iterator[None]:
    """Start and end MPI in a forked rank, where :func:`load` did not start it."""
    from mpi4py import MPI

    if MPI.Is_initialized():
        yield
        return
    host.advise()
    MPI.Init_thread()
    try:
        yield
    finally:
        MPI.Finalize()


def check_joined() -> None:
    """Refuse MPI where it sees another number of ranks than the launcher started.

    Raises:
        Fault: If the launcher belongs to another MPI library.
    """
    from mpi4py import MPI

    launcher.check_joined(*MPI.get_vendor(), MPI.COMM_WORLD.size)


def version() -> str:
    """Name and version of the MPI library, on one line."""
    from mpi4py import MPI

    text = MPI.Get_library_version().strip("\x00").strip()
    first = text.splitlines()[0].partition(",")[0].replace("\t", " ")
    return " ".join(first.replace("Version:", "").split())


def warning() -> str:
    """What to beware of with this library and the launcher, in a sentence; empty if nothing."""
    from mpi4py import MPI

    return launcher.warning(*MPI.get_vendor())


def name() -> str:
    """The name of the MPI library alone, such as ``MPICH``."""
    from mpi4py import MPI

    return MPI.get_vendor()[0]


def threaded() -> bool:
    """Whether several threads may call MPI at the same time."""
    from mpi4py import MPI

    return MPI.Query_thread() >= MPI.THREAD_MULTIPLE


def check_hdf5() -> bool:
    """Whether h5py writes in parallel, through the same MPI library as mpi4py.

    Raises:
        Fault: If h5py was built for another MPI library than the one mpi4py runs on.
    """
    from mpi4py import MPI

    if not hdf5.get_config().mpi:
        return False
    used = {_address(path) for path in (MPI.__file__, hdf5.h5fd.__file__, *host.loaded("libhdf5"))}
    if len(used - {None}) > 1:
        raise Fault(
            f"h5py's HDF5 runs on another MPI library than mpi4py ({version()}); "
            "build h5py and its HDF5 with that library, or set record.writer to 'gather'."
        )
    return True


def _address(path: str) -> int | None:
    """The address of an MPI function in the library that a shared object is linked to."""
    try:
        function = ctypes.CDLL(path).MPI_Get_library_version
    except (OSError, AttributeError):
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


QUERIES = {"cuda": ("MPIX_Query_cuda_support", 0), "xpu": ("MPIX_Query_ze_support", 1)}
"""By kind of accelerator: the function of MPI libraries that says whether they support its memory,
and the number of the kind in MPICH's ``MPIX_GPU_query_support``."""


def takes(kind: str) -> bool:
    """Whether this MPI is known to take memory of an accelerator kind.

    It is read from the MPI-4.1 info key, or from the variables for Cray MPICH and Aurora's MPICH,
    which an MPI for processors only ignores.
    """
    from mpi4py import MPI

    info = MPI.COMM_WORLD.Get_info()
    kinds = info.Get("mpi_memory_alloc_kinds") or ""
    info.Free()
    runtime = {"cuda": "cuda", "xpu": "level_zero"}.get(kind, kind)
    switched = runtime in kinds or any(os.environ.get(switch) == "1" for switch in SWITCHES)
    return switched and supports(kind) is not False


def supports(kind: str) -> bool | None:
    """Whether this MPI was built for an accelerator kind, by its own answer; None without one."""
    from mpi4py import MPI

    name, number = QUERIES[kind]
    library, answers = ctypes.CDLL(MPI.__file__), list[bool]()
    with suppress(AttributeError):
        answers.append(bool(getattr(library, name)()))
    with suppress(AttributeError):
        answer = ctypes.c_int(0)
        failed = library.MPIX_GPU_query_support(number, ctypes.byref(answer))
        answers += [] if failed else [bool(answer.value)]
    return any(answers) if answers else None
