"""All-reduce: the mean of all devices, for strategies by which every device takes it."""

from typing import TYPE_CHECKING

from mpidl.config.faults import Fault
from mpidl.exchange import traffic
from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.survey import Facts
from mpidl.exchange.wiring import Wiring

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


def _obstacle(facts: Facts) -> str | None:
    reason = "gives every device the mean of all, which the run does not want"
    return None if facts.uniform else reason


@BACKENDS.add(traffic=traffic.of_the_mean, obstacle=_obstacle, means=True)
def allreduce(wiring: Wiring, /) -> "Exchange":
    """One all-reduce, for strategies that give every device the mean of all (federated)."""
    from mpidl.exchange.mean import Mean

    if not wiring.uniform:
        raise Fault(
            "exchange.backend = 'allreduce' needs strategy.name = 'federated', synchronous mixing, "
            "the participation of all, and neither delays nor attackers; 'auto' and 'mpi' work."
        )
    return Mean(wiring)
