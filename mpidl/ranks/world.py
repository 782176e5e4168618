"""World: the communicator of all ranks, and the end of the job by an error."""

import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from mpidl.config.faults import Breakdown, Fault, OwnError, tell
from mpidl.config.outcome import Outcome
from mpidl.config.own_traceback import own_error
from mpidl.ranks import guarding, host, mpi_library, watchdog
from mpidl.ranks.watchdog import Watchdog

if TYPE_CHECKING:
    from mpi4py import MPI


Comm: TypeAlias = "MPI.Intracomm"

PATIENCE = 10.0
"""Seconds that a rank with a fault waits for the others, which should have the same fault."""

TELLING = 2.0
"""Seconds that ranks which cannot reach each other leave to the one that tells a fault."""

STEP = 0.05
"""Seconds by which a rank lets those before it tell an error first."""


@contextmanager
def world() -> Iterator[Comm]:
    """Collective. Yield a private world communicator; an error on one rank ends all ranks.

    A :class:`Fault`, which every rank raises, is printed once by rank 0; the exit code is 2. A
    :class:`Breakdown` is printed by the rank that has it, and aborts the job with exit code 1. Any
    other exception prints its traceback with the rank, and aborts the job too; a Ctrl-C that is not
    handled aborts it without a traceback. A watchdog ends the job if a rank is late, or ends
    without a message.
    """
    try:
        mpi_library.load()
    except Fault as fault:
        _end(fault)
    with mpi_library.started(), _world() as comm:
        yield comm


@contextmanager
def _world() -> Iterator[Comm]:
    try:
        comm = private()
    except Fault as fault:
        _end(fault)
    inner = node(comm)
    guard, window = guarding.guarded(comm, inner)
    inner.Free()
    try:
        with watchdog.on_duty_of(guard):
            yield comm
    except Fault as fault:
        if comm.rank == 0:
            tell(fault)
        meet(comm, guard, fault, told=comm.rank == 0)
        guard.stop(fault.outcome.code)
        free(comm, window)
        sys.exit(fault.outcome.code)
    except BaseException as error:
        end_job(comm, guard, error)
    gathered(comm)
    guard.stop()
    free(comm, window)


def private(given: "Comm | None" = None) -> Comm:
    """Collective. A copy of a communicator, or of that of all ranks.

    Raises:
        Fault: If the launcher belongs to another MPI library.
    """
    from mpi4py import MPI

    mpi_library.check_joined()
    comm = copied(MPI.COMM_WORLD if given is None else given)
    forget_names(comm)
    return comm


def copied(given: Comm) -> Comm:
    """Collective. A copy of a communicator: what travels on one does not meet the other."""
    from mpi4py import MPI

    return MPI.Intracomm(given.Dup())


def end_job(comm: Comm, guard: Watchdog, error: BaseException) -> NoReturn:
    """Print an error that only this rank may have, and end the job on all ranks.

    Ctrl-C ends it with exit code 130, anything else with 1 and, unless it is a
    :class:`Breakdown`, with the traceback; in the user's own code this begins at its first line.
    """
    interrupted = isinstance(error, KeyboardInterrupt)
    outcome = Outcome.INTERRUPTED if interrupted else Outcome.FAILED
    # Who reads it may be gone, as a launcher that was killed; the job has to end all the same.
    with suppress(OSError):
        _tell_end(comm.rank, error)
    guard.stop(outcome.code)
    comm.Abort(outcome.code)


def _tell_end(rank: int, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        if rank == 0:
            print(
                "mpidl: interrupted; the results file holds all rounds that it counts.", flush=True
            )
    elif isinstance(error, Breakdown):
        print(f"mpidl: rank {rank}: {error}", file=sys.stderr, flush=True)
    elif (own := own_error(error)) is not None:
        # Other ranks may have the same error now: the first of them tells it, and ends the rest.
        time.sleep(min(rank, 1) + min(rank * STEP, 1))
        tell(own)
    else:
        trace = "".join(traceback.format_exception(error))
        print(f"[rank {rank}] {trace}", file=sys.stderr, end="", flush=True)


def meet(comm: Comm, guard: Watchdog, fault: Fault, told: bool = False) -> None:
    """Collective. Wait for all ranks to come with a fault; end the job if some do not.

    Args:
        comm: All ranks.
        guard: The watchdog of this rank.
        fault: The fault, which is printed if the job ends.
        told: Whether it is printed already.
    """
    if gathered(comm, PATIENCE):
        return
    if not told:
        tell(fault)
    guard.stop(fault.outcome.code)
    comm.Abort(fault.outcome.code)


def free(comm: Comm, window: "MPI.Win") -> None:
    """Collective. Free what an error left open, the memory of the watchdog, and a communicator."""
    free_left()
    window.Free()
    comm.Free()


def free_left() -> None:
    """Collective. Free what an error left open; see :func:`returned`."""
    while _left:
        _left.pop(0)()


def refuse(fault: Fault) -> NoReturn:
    """Collective. Print once a fault that every rank found without MPI, and end.

    If MPI can be loaded, all ranks end together: a launcher may kill ranks that end late, and end
    with their exit code.
    """
    try:
        mpi_library.load()
    except Fault:
        _end(fault)
    with world():
        raise fault


def _end(fault: Fault) -> NoReturn:
    """Print a fault on the first rank, where ranks cannot reach each other, and end."""
    if host.leads():
        tell(fault)
    else:
        # A launcher ends the job, and the rank that tells, by the first one that ends.
        time.sleep(TELLING)
    sys.exit(Outcome.REFUSED.code)


def gathered(comm: Comm, patience: float = math.inf) -> bool:
    """Collective. Sleep until all ranks have come; False if they did not within the patience.

    A barrier would take a core from a rank that still works; torch would load half as fast.
    """
    request, deadline, pause = comm.Ibarrier(), time.monotonic() + patience, 1e-4
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def forget_names(comm: Comm) -> None:
    """Collective. Remove the names of MPI's shared memory, which all ranks have mapped by now.

    A job that is killed then leaves nothing behind.
    """
    gathered(comm)
    host.forget_names()


@contextmanager
def agreed(comm: Comm) -> Iterator[None]:
    """Collective. Let all ranks know at the end of the context if some of them failed inside.

    Raises:
        Fault: On every rank, with the sentences of all ranks, if any rank raised one. Of faults
            that were found at devices, that of the lowest alone is told.
        OwnError: On every rank, if there was an error in the user's own code on any.
    """
    fault: Fault | None = None
    try:
        with watchdog.working("start"):
            yield
    except Fault as raised:
        fault = raised
    except Exception as error:
        fault = own_error(error)
        if fault is None:
            raise
    gathered(comm)
    found = comm.allgather(None if fault is None else (type(fault), fault.sentences, fault.device))
    faults = [one for one in found if one is not None]
    own = [one for one in faults if issubclass(one[0], OwnError)]
    lowest = min((device for _, _, device in faults if device is not None), default=None)
    faults = [one for one in faults if one[2] in (None, lowest)]
    if faults:
        sentences = dict.fromkeys(s for _, told, _ in own or faults for s in told)
        raise (OwnError if own else Fault)(*sentences) from fault


_left: list[Callable[[], None]] = []
"""Functions that free what a fault left open, in order."""


class returned(AbstractContextManager[None]):  # noqa: N801
    """Collective. Free something at the end of the context.

    After a fault, freeing waits until all ranks are known to have the fault, as one rank alone
    would wait forever. After any other error the job ends and nothing is freed, unless there is
    only one rank. A context that is never left frees nothing: it is no generator, which Python
    would end with an error when the program ends.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Free it, or leave that for later."""
        if error is None:
            self._close()
        else:
            _left.append(self._close)


def node(comm: Comm) -> Comm:
    """Collective. The communicator of the ranks that share memory with this one."""
    from mpi4py import MPI

    return MPI.Intracomm(comm.Split_type(MPI.COMM_TYPE_SHARED))
