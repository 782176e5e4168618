"""Lending of a caller's process: work of mpidl inside a program, which goes on afterwards.

:mod:`mpidl.ranks.world` is for a command, whose process ends with its work. Here an error that all
ranks have is raised to the caller; one that only some of many ranks have ends the job, as there,
since the others would wait forever.
"""

import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from mpidl.config.faults import Fault, shown
from mpidl.ranks import guarding, mpi_library, watchdog, world
from mpidl.ranks.world import Comm


class Lent:
    """A private communicator within a caller's program, for as long as the context lasts.

    Between two calls the program does what it likes, and others wait for it as long as it lives:
    the watchdog counts only the time within :meth:`call`. An error that is not caught ends the job
    on all ranks, with its traceback; with one rank it is the caller's.

    Args:
        given: The caller's communicator, which is copied; None for all ranks.

    Attributes:
        comm: The copy, within the context.
    """

    comm: Comm

    def __init__(self, given: "Comm | None" = None) -> None:
        self._given = given
        self._inside = self._over = False

    def __enter__(self) -> Self:
        """Collective. Copy the communicator and start to watch over its ranks.

        Raises:
            Fault: If MPI cannot be loaded or is over, or this is no communicator of its ranks.
        """
        _join(self._given)
        self.comm = world.private(self._given)
        self._guard, self._window = guarding.guarded(self.comm)
        self._guard.begin(watchdog.AWAY)
        # A program that ends without leaving the context must not keep others waiting.
        atexit.register(self._guard.stop)
        self._hook = sys.excepthook
        if self.comm.size > 1:
            sys.excepthook = self._uncaught
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Collective. Free the communicator; end the job by an error that not all ranks have."""
        self._guard.done()
        if error is not None:
            self._share(error)
        world.gathered(self.comm)
        self._over = True
        if sys.excepthook == self._uncaught:
            sys.excepthook = self._hook
        atexit.unregister(self._guard.stop)
        self._guard.stop()
        world.free(self.comm, self._window)

    @contextmanager
    def call(self) -> Iterator[Comm]:
        """Collective. Work together; yields the communicator.

        Raises:
            Fault: If all ranks raise one, or with one rank; as any other error with one rank.
        """
        if self._inside:
            yield self.comm
            return
        self._guard.done()
        self._inside = True
        try:
            with watchdog.on_duty_of(self._guard):
                yield self.comm
        except BaseException as error:
            self._share(error)
            world.free_left()
            raise
        finally:
            self._inside = False
            self._guard.begin(watchdog.AWAY)

    def _share(self, error: BaseException) -> None:
        """Collective. Return if every rank has the error, or there is one; else end the job."""
        if isinstance(error, Fault):
            world.meet(self.comm, self._guard, error)
        elif self.comm.size > 1:
            world.end_job(self.comm, self._guard, error)

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not self._over:
            world.end_job(self.comm, self._guard, error)
        # A later one may have ended after this one, and left this hook.
        self._hook(kind, error, trace)


def _join(given: "Comm | None") -> None:
    """Load MPI in a caller's program, and start it if the program has not.

    Raises:
        Fault: If MPI cannot be loaded or is over, or if the caller's communicator is none.
    """
    mpi_library.load()
    from mpi4py import MPI

    if MPI.Is_finalized():
        raise Fault("MPI is over in this process: MPI.Finalize() must come after the last call.")
    if not MPI.Is_initialized():
        MPI.Init_thread()
        atexit.register(MPI.Finalize)
    if given is not None and (not isinstance(given, MPI.Intracomm) or given == MPI.COMM_NULL):
        raise Fault(
            f"communicator = {shown(given)}: must be an intracommunicator of mpi4py, of which this "
            "process is a rank, such as MPI.COMM_WORLD."
        )
