"""Whether MPI is trusted with an accelerator's memory, or vectors go through the host's."""

from mpi4py import MPI

import torch

from mpidl.accelerators import settle
from mpidl.exchange import Wiring
from mpidl.faults import Fault
from mpidl.world import Comm, takes

SIZES = (16, 1000, 1 << 20)
"""Numbers in a test message: below, at and far above the sizes at which an MPI changes its way."""


def trusts(wiring: Wiring) -> bool:
    """Collective. Whether vectors go from accelerator memory to accelerator memory.

    Only an MPI that says it can is tried, as another one would crash; and as some that say so
    deliver wrong data, a few messages are compared with what was sent.

    Raises:
        Fault: If the run file demands it, and messages arrive wrong.
    """
    wanted, kind = wiring.accelerator_aware, wiring.device.type
    if wanted == "no" or (wanted == "auto" and not takes(kind)):
        return False
    works = delivers(wiring.comm, wiring.device)
    if wanted == "yes" and not works:
        raise Fault(
            f"exchange.accelerator_aware = 'yes': this MPI changes what it carries between "
            f"{kind} memories; 'auto' and 'no' go through host memory."
        )
    return works


def direct(wiring: Wiring) -> bool:
    """Collective. Whether MPI gets vectors where they lie: in host memory, or as trusted."""
    return wiring.device.type == "cpu" or trusts(wiring)


def delivers(comm: Comm, device: torch.device) -> bool:
    """Collective. Whether messages between the ranks' accelerators arrive as they were sent."""
    right = True
    for distance in {1, max(1, comm.size // 2)}:
        to, source = (comm.rank + distance) % comm.size, (comm.rank - distance) % comm.size
        for size in SIZES:
            sent, arrived = _pattern(comm.rank, size, device), torch.zeros(size, device=device)
            settle(device)
            comm.Sendrecv([sent, size, MPI.FLOAT], to, 0, [arrived, size, MPI.FLOAT], source, 0)
            right = right and torch.equal(arrived, _pattern(source, size, device))
    return bool(comm.allreduce(right, MPI.LAND))


def _pattern(rank: int, size: int, device: torch.device) -> torch.Tensor:
    return torch.arange(size, dtype=torch.float32, device=device) * (rank + 1) + rank
