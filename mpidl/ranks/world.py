"""MPI start-up: the communicator, and how an error ends the job."""

import ctypes
import importlib.util
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import numpy as np

from mpidl.config.faults import Breakdown, Fault, tell
from mpidl.config.outcome import Outcome
from mpidl.ranks import hdf5, host, importer, watchdog
from mpidl.ranks.watchdog import Watchdog

if TYPE_CHECKING:
    from mpi4py import MPI

SWITCHES = ("MPICH_GPU_SUPPORT_ENABLED", "MPIR_CVAR_ENABLE_GPU")
"""With these set to 1, Cray MPICH and Aurora's MPICH take accelerator memory."""

Comm: TypeAlias = "MPI.Intracomm"

host.advise()


def load() -> None:
    """Import MPI, which starts it where the environment does not forbid that.

    Nothing else here does, so that a command which starts no ranks needs no MPI.

    Raises:
        Fault: If there is no MPI to be loaded.
    """
    try:
        import mpi4py

        if importer.forked:
            # At the end of such a rank nobody would end what an import has started.
            mpi4py.rc.initialize = False
        from mpi4py import MPI  # noqa: F401
    except (ImportError, RuntimeError) as error:
        *_, told = str(error).strip().splitlines()[:2]
        raise Fault(
            f"MPI cannot be loaded ({told}): 'pip install mpi4py mpich' brings one; on a cluster "
            "load the module of its MPI, for which mpi4py must have been built."
        ) from None


def library() -> str:
    """Name and version of the MPI library, on one line."""
    from mpi4py import MPI

    text = MPI.Get_library_version().strip("\x00").strip()
    first = text.splitlines()[0].replace("\t", " ")
    return " ".join(first.replace("Version:", "").split())


def vendor() -> str:
    """The name of the MPI library alone, such as ``MPICH``."""
    from mpi4py import MPI

    return MPI.get_vendor()[0]


PATIENCE = 10.0
"""Seconds that a rank with a fault waits for the others, who should have the same fault."""


def _keep_hdf5_quiet() -> None:
    """Keep HDF5 from closing files when a process exits; to be called before h5py is imported.

    Where MPI aborts, it makes every rank exit, and there HDF5 would call MPI once more to close
    an open file together: dozens of lines of C frames behind the traceback that matters, or a hang.
    """
    found = importlib.util.find_spec("h5py")
    if found is not None and found.origin is not None and "h5py" not in sys.modules:
        for path in Path(found.origin).parent.glob("defs.*"):
            with suppress(OSError, AttributeError):
                ctypes.CDLL(str(path)).H5dont_atexit()


_keep_hdf5_quiet()


@contextmanager
def world() -> Iterator[Comm]:
    """Collective. Yield a private world communicator; an error on one rank ends all of them.

    A :class:`Fault`, raised by every rank alike, is told once by rank 0 and ends with exit code 2.
    A :class:`Breakdown` is told by the rank that has it, and aborts the job with exit code 1. Any
    other exception prints its traceback with the rank and aborts the job too; a Ctrl-C for which
    nobody listens aborts it without one. A watchdog ends the job where a rank ends without a word,
    or is late.
    """
    try:
        load()
    except Fault as fault:
        _end(fault)
    with _mpi(), _world() as comm:
        yield comm


@contextmanager
def _mpi() -> Iterator[None]:
    """Start and end MPI in a rank that was forked, where its import starts none."""
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


@contextmanager
def _world() -> Iterator[Comm]:
    from mpi4py import MPI

    try:
        _check_launcher(MPI.COMM_WORLD.size)
        comm = MPI.COMM_WORLD.Dup()
        forget_names(comm)
    except Fault as fault:
        _end(fault)
    guard, window = _guard(comm)
    try:
        yield comm
    except Fault as fault:
        _leave(comm, guard, fault)
        _return(comm, window)
        sys.exit(Outcome.REFUSED.code)
    except KeyboardInterrupt:
        if comm.rank == 0:
            print("mpidl: interrupted; a results file holds the rounds that it counts.", flush=True)
        guard.stop(Outcome.INTERRUPTED.code)
        comm.Abort(Outcome.INTERRUPTED.code)
    except Breakdown as trouble:
        print(f"mpidl: rank {comm.rank}: {trouble}", file=sys.stderr, flush=True)
        guard.stop(Outcome.FAILED.code)
        comm.Abort(Outcome.FAILED.code)
    except BaseException:
        print(f"[rank {comm.rank}] {traceback.format_exc()}", file=sys.stderr, end="", flush=True)
        guard.stop(Outcome.FAILED.code)
        comm.Abort(Outcome.FAILED.code)
    gathered(comm)
    guard.stop()
    _return(comm, window)


def _return(comm: Comm, window: "MPI.Win") -> None:
    """Collective. Give back what a fault left, and what the job was watched with."""
    while _left:
        _left.pop(0)()
    watchdog.on_duty = None
    window.Free()
    comm.Free()


def refuse(fault: Fault) -> NoReturn:
    """Collective. Tell a fault that every rank has without MPI, once, and end.

    Where MPI can be loaded all end together: a launcher may kill ranks that are late to end, and
    end with their exit code.
    """
    try:
        load()
    except Fault:
        _end(fault)
    with world():
        raise fault


def _end(fault: Fault) -> NoReturn:
    """Tell a fault from the first rank, where ranks cannot reach each other, and end."""
    if host.leads():
        tell(fault)
    sys.exit(Outcome.REFUSED.code)


def _guard(comm: Comm) -> tuple[Watchdog, "MPI.Win"]:
    """Collective. Let ranks that share memory watch each other; the watchdog and its memory."""
    from mpi4py import MPI

    inner = node(comm)
    size = 8 * len(watchdog.FIELDS)
    window = MPI.Win.Allocate_shared(size * inner.size if inner.rank == 0 else 0, comm=inner)
    memory, _ = window.Shared_query(0)
    table = np.asarray(memory).view(np.float64).reshape(-1, len(watchdog.FIELDS))
    if inner.rank == 0:
        table[:] = 0
    inner.Barrier()
    hosts: list[str] = comm.allgather(host.name())
    guard = Watchdog(
        table,
        inner.rank,
        inner.allgather(comm.rank),
        sorted({*hosts} - {host.name()}),
        host.crowd(inner.allgather(host.affinity())),
        comm.Abort,
    )
    inner.Barrier()
    inner.Free()
    if comm.size > 1:
        guard.start()
    watchdog.on_duty = guard
    return guard, window


def _leave(comm: Comm, guard: Watchdog, fault: Fault) -> None:
    """Collective. Tell a fault and wait for all ranks; end the job if some do not come."""
    if comm.rank == 0:
        tell(fault)
    together = gathered(comm, PATIENCE)
    guard.stop(Outcome.REFUSED.code)
    if not together:
        if comm.rank != 0:
            tell(fault)
        comm.Abort(Outcome.REFUSED.code)


def gathered(comm: Comm, patience: float = math.inf) -> bool:
    """Collective. Sleep until all ranks are here; whether they came within so many seconds.

    A barrier would take a core from a rank that still works: torch then loads half as fast.
    """
    request, deadline, pause = comm.Ibarrier(), time.monotonic() + patience, 1e-4
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def _check_launcher(ranks: int) -> None:
    launched = host.told(host.LAUNCHED)
    if launched is not None and launched != ranks:
        raise Fault(
            f"The launcher started {launched} ranks but MPI sees {ranks}: mpi4py "
            f"runs on {library()}, this mpiexec on another library; use the mpiexec of the former."
        )


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
            f"h5py's HDF5 runs on another MPI library than mpi4py ({library()}); "
            "build h5py and its HDF5 with that library, or set record.writer to 'gather'."
        )
    return True


def forget_names(comm: Comm) -> None:
    """Collective. Remove the names of MPI's shared memory, which all ranks have in use by now.

    A job that is killed then leaves nothing behind.
    """
    gathered(comm)
    host.forget_names()


def _address(path: str) -> int | None:
    """Where the MPI that a shared object is linked to keeps one of its functions."""
    try:
        function = ctypes.CDLL(path).MPI_Get_library_version
    except (OSError, AttributeError):
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


@contextmanager
def agreed(comm: Comm) -> Iterator[None]:
    """Collective. What is done inside may fail on some ranks only; at its end all ranks know.

    Raises:
        Fault: On every rank, with the sentences of all ranks, if any rank raised one.
    """
    sentences: tuple[str, ...] = ()
    try:
        with watchdog.working("start"):
            yield
    except Fault as fault:
        sentences = fault.sentences
    gathered(comm)
    told = dict.fromkeys(s for rank in comm.allgather(sentences) for s in rank)
    if told:
        raise Fault(*told)


_left: list[Callable[[], None]] = []
"""What a fault left to be given back, in that order."""


@contextmanager
def returned(close: Callable[[], None]) -> Iterator[None]:
    """Collective. Give something back at the end.

    After a fault that waits until all ranks are seen to have it, as one alone would wait for ever;
    after any other error nothing is given back, as the job ends.
    """
    try:
        yield
    except Fault:
        _left.append(close)
        raise
    close()


def node(comm: Comm) -> Comm:
    """Collective. The communicator of the ranks that share memory with this one."""
    from mpi4py import MPI

    return MPI.Intracomm(comm.Split_type(MPI.COMM_TYPE_SHARED))


QUERIES = {"cuda": ("MPIX_Query_cuda_support", 0), "xpu": ("MPIX_Query_ze_support", 1)}
"""By kind of accelerator, the function by which an MPI says whether it takes its memory, and the
number of the kind in MPICH's ``MPIX_GPU_query_support``."""


def takes(kind: str) -> bool:
    """Whether this MPI is known to take memory of an accelerator kind.

    Read from the MPI-4.1 info key, or from what a site sets for Cray MPICH and Aurora's MPICH,
    which an MPI for processors only does not heed.
    """
    from mpi4py import MPI

    info = MPI.COMM_WORLD.Get_info()
    spoken = info.Get("mpi_memory_alloc_kinds") or ""
    info.Free()
    runtime = {"cuda": "cuda", "xpu": "level_zero"}.get(kind, kind)
    told = runtime in spoken or any(os.environ.get(switch) == "1" for switch in SWITCHES)
    return told and supports(kind) is not False


def supports(kind: str) -> bool | None:
    """Whether this MPI was built for an accelerator kind, as it says; None where it cannot say."""
    from mpi4py import MPI

    name, number = QUERIES[kind]
    library, said = ctypes.CDLL(MPI.__file__), list[bool]()
    with suppress(AttributeError):
        said.append(bool(getattr(library, name)()))
    with suppress(AttributeError):
        found = ctypes.c_int(0)
        failed = library.MPIX_GPU_query_support(number, ctypes.byref(found))
        said += [] if failed else [bool(found.value)]
    return any(said) if said else None
