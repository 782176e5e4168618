"""Trust in MPI with an accelerator's memory; without it vectors go through the host's."""

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
    """Collective. Link ranks for vectors where they lie if MPI is trusted, else through the host.

    Only an MPI that says it takes an accelerator's memory is given some, as another one would
    crash; and as some that say so deliver wrong data, marks have to arrive first.

    Args:
        wiring: What the exchange is built from.
        exchange: That exchange.
        link: Collective; prepares messages, directly or not, in the place of what it did before.
        move: As :func:`mpidl.exchange.marks.arrive` wants it.

    Raises:
        Fault: If the run file demands the direct way, and MPI says that it cannot, or cannot.
    """
    kind = wiring.device.type
    kinds, told = zip(*wiring.comm.allgather((kind, _promises(wiring))), strict=True)
    if {*kinds} == {"cpu"}:
        link(True)
        return
    if all(told):
        link(True)
        if marks.arrive(exchange, move):
            return
    if wiring.accelerator_aware == "yes":
        does = "changes what it carries between" if all(told) else "says that it does not take"
        raise Fault(
            f"exchange.accelerator_aware = 'yes': this MPI {does} {max(kinds)} memory; 'auto' and "
            "'no' go through host memory."
        )
    link(kind == "cpu")


def _promises(wiring: Wiring) -> bool:
    """Whether, as far as this rank knows, MPI takes vectors where they lie, and may."""
    kind, wanted = wiring.device.type, wiring.accelerator_aware
    if kind == "cpu":
        return True
    return takes(kind) if wanted == "auto" else wanted == "yes" and supports(kind) is not False
