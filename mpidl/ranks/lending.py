"""Lending of a caller's process: work of mpidl inside a program, which goes on afterwards.

:mod:`mpidl.ranks.world` is for a command, whose process ends with its work. Here an error that all
ranks have is raised to the caller; one that only some of many ranks have ends the job, as there,
since the others would wait forever.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from mpidl.config.faults import Fault, shown
from mpidl.ranks import guarding, mpi_library, watchdog, world
from mpidl.ranks.departures import Reports
from mpidl.ranks.world import Comm


class Lent:
    """A private communicator within a caller's program, for as long as the context lasts.

    Between two calls the program does what it likes, and the watchdog counts only the time that
    ranks wait within :meth:`call`: a rank for which others wait there for longer than their
    patience ends the job, and so, much sooner, does one that has left while they do. An error that
    is not caught ends the job on all ranks, with its traceback; with one rank it is the caller's.

    Args:
        given: The caller's communicator, which is copied; None for all ranks.
        advice: How a user may avoid that ranks wait for those that have left, in words.

    Attributes:
        comm: The copy, within the context.
    """

    comm: Comm

    def __init__(
        self, given: "Comm | None" = None, advice: str = "all ranks must make the same calls"
    ) -> None:
        self._given, self._advice = given, advice
        self._inside = self._parted = self._over = False

    def __enter__(self) -> Self:
        """Collective. Copy the communicator and start to watch over its ranks.

        Raises:
            Fault: If MPI cannot be loaded or is over, or this is no communicator of its ranks.
        """
        _join(self._given)
        self.comm = world.private(self._given)
        self._apart = world.copied(self.comm)
        inner = world.node(self.comm)
        self._reports = Reports(self._apart, inner.rank == 0, self._advice)
        self._guard, self._window = guarding.guarded(self.comm, inner, self._reports)
        inner.Free()
        self._guard.begin(watchdog.AWAY)
        _register(self)
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
        if error is not None:
            self._guard.done()
            self._share(error)
        self.part()
        self._over = True
        if sys.excepthook == self._uncaught:
            sys.excepthook = self._hook
        _open.remove(self)
        self._stop()
        world.free(self.comm, self._window)
        self._apart.Free()

    def part(self) -> None:
        """Collective. Wait until all ranks leave their loop; what they do then, all of them do.

        A rank that leaves while others wait for it in a call stays here, until the watchdog ends
        the job. A second call does nothing.
        """
        if not self._parted:
            self._parted = True
            self._guard.leave("left")
            self._guard.done()
            world.gathered(self.comm)

    def end(self) -> None:
        """Stop watching, as the program ends without leaving the context.

        Where reports go from node to node, it waits for the other ranks, as MPI's own end does.
        """
        if self._reports.active:
            # Not on that of part(): a rank that leaves only its loop is not to meet this one.
            world.gathered(self._apart)
        self._stop()

    def say_end(self) -> None:
        """Let others know that this program ends."""
        self._guard.leave("ended")

    def _stop(self) -> None:
        self._guard.stop()
        self._reports.close()

    @contextmanager
    def call(self) -> Iterator[Comm]:
        """Collective. Work together; yields the communicator.

        Raises:
            Fault: If all ranks raise one, or with one rank; as any other error with one rank.
        """
        if self._inside:
            yield self.comm
            return
        self._guard.call()
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


_open: list[Lent] = []
"""What this process has lent and not got back, in order."""

_registered: set[int] = set()
"""The process in which :func:`_end_of_program` is called at its end."""


def _register(lent: Lent) -> None:
    """Let a loan end before MPI does, whether MPI ends with the program or by a call in it."""
    from mpi4py import MPI

    _open.append(lent)
    if os.getpid() not in _registered:
        _registered.add(os.getpid())
        atexit.register(_end_of_program)
        # MPI removes what is attached there as the first part of its end.
        MPI.COMM_SELF.Set_attr(MPI.Comm.Create_keyval(delete_fn=_end_of_program), None)


def _end_of_program(*_: object) -> None:
    """Tell others that this program ends: nobody must wait for it, and no watchdog outlive MPI."""
    # A process that was forked off has no part in it.
    if os.getpid() in _registered:
        for lent in _open:
            lent.say_end()
        while _open:
            _open.pop(0).end()


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
