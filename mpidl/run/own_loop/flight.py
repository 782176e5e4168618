"""Flight of a round: its exchange, while the caller goes on."""

import threading
from collections.abc import Callable

import torch

from mpidl.ranks import mpi_library


class Flight:
    """A round under way in a thread of its own, if this MPI takes calls of several threads.

    Else the round is made when it lands.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gossip", daemon=True)
        self._threaded = mpi_library.threaded()
        if self._threaded:
            self._thread.start()

    def _run(self) -> None:
        try:
            with torch.no_grad():
                self._work()
        except BaseException as error:
            self._error = error

    def land(self) -> None:
        """Wait until the round is made; raises what went wrong in it."""
        if not self._threaded:
            self._run()
        else:
            self._thread.join()
        if self._error is not None:
            raise self._error
