"""Accelerator-aware MPI: whether MPI gets vectors in accelerator memory, or by way of the host."""

from collections.abc import Callable, Mapping

from torch import Tensor

from mpidl.config.faults import Fault
from mpidl.exchange import Wiring, marks
from mpidl.exchange.memory import Buffers
from mpidl.ranks.mpi_library import supports, takes


def connect(
    wiring: Wiring,
    exchange: Buffers,
    link: Callable[[bool], None],
    move: Callable[[], Mapping[int, Tensor]],
) -> None:
    """Collective. Link ranks directly if MPI takes their vectors' memory, else through the host.

    Only an MPI that says it takes accelerator memory gets some, as another one would crash. As some
    MPIs say so and deliver wrong data, marks have to arrive first.

    Args:
        wiring: The wiring of the exchange.
        exchange: The exchange.
        link: Collective; prepares messages, directly or not, and replaces those prepared before.
        move: As for :func:`mpidl.exchange.marks.arrive`.

    Raises:
        Fault: If the run file demands the direct way, and MPI does not support it, or fails.
    """
    kind = wiring.device.type
    kinds, promised = zip(*wiring.comm.allgather((kind, _promises(wiring))), strict=True)
    if {*kinds} == {"cpu"}:
        link(True)
        return
    if all(promised):
        link(True)
        if marks.arrive(exchange, move):
            return
    if wiring.accelerator_aware == "yes":
        fails = "changes what it carries between" if all(promised) else "says that it does not take"
        raise Fault(
            f"exchange.accelerator_aware = 'yes': this MPI {fails} {max(kinds)} memory; 'auto' and "
            "'no' go through host memory."
        )
    link(kind == "cpu")


def _promises(wiring: Wiring) -> bool:
    """Whether MPI says here that it takes the vectors' memory, and the run file allows it."""
    kind, setting = wiring.device.type, wiring.accelerator_aware
    if kind == "cpu":
        return True
    return takes(kind) if setting == "auto" else setting == "yes" and supports(kind) is not False
