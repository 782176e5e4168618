"""MPI: neighborhood collectives, or messages between pairs of ranks."""

from typing import TYPE_CHECKING

from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.wiring import Wiring

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


@BACKENDS.add(delays=True)
def mpi(wiring: Wiring, /) -> "Exchange":
    """MPI neighborhood collectives, persistent where the MPI has them; any graph, any MPI.

    If the graph changes, messages go point to point, and only those that a round needs.
    """
    from mpidl.exchange.delayed import Delayed
    from mpidl.exchange.neighborhoods import Neighborhoods
    from mpidl.exchange.pairs import Pairs

    if wiring.delayed:
        return Delayed(wiring)
    return Pairs(wiring) if wiring.changing else Neighborhoods(wiring)
