"""Communication backends: own parameters in, the neighborhood's readable, mixed parameters out.

A backend is a builder here, ``(wiring, /) -> Exchange``, and a file of its own beside. Builders
import torch when called, because a run file is checked before torch is loaded.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.faults import Fault
from mpidl.node import Node
from mpidl.registry import Registry
from mpidl.world import Comm

if TYPE_CHECKING:
    import torch

    from mpidl.exchange.memory import Exchange

BACKENDS = Registry("exchange backend")


@dataclass(frozen=True)
class Wiring:
    """What every backend is built from.

    Attributes:
        node: The ranks of this node.
        hosts: Device to rank, ``(N,)``.
        graph: An edge j -> i wherever i may read the vector of j.
        size: P, the length of a vector.
        device: The accelerator whose memory holds the vectors.
        dtype: The numbers of a vector.
        uniform: Whether every device takes the mean of all in every round.
        delayed: Whether neighbors' vectors are those of the last round.
        accelerator_aware: Whether MPI takes accelerator memory: ``auto``, ``yes`` or ``no``.
    """

    node: Node
    hosts: npt.NDArray[np.int64]
    graph: nx.DiGraph
    size: int
    device: "torch.device"
    dtype: "torch.dtype"
    uniform: bool = False
    delayed: bool = False
    accelerator_aware: str = "auto"

    @property
    def comm(self) -> Comm:
        """All ranks."""
        return self.node.comm


@BACKENDS.add
def auto(wiring: Wiring, /) -> "Exchange":
    """Shared on CPUs; on accelerators allreduce for the mean of all, and mpi otherwise."""
    if wiring.device.type == "cpu" and not wiring.delayed:
        return shared(wiring)
    return allreduce(wiring) if wiring.uniform else mpi(wiring)


@BACKENDS.add
def shared(wiring: Wiring, /) -> "Exchange":
    """Memory that the ranks of a node share, mixed by columns; messages only between nodes."""
    from mpidl.exchange.slab import Shared

    if wiring.device.type != "cpu":
        raise Fault(
            f"exchange.backend = 'shared': shares host memory, and vectors are in "
            f"{wiring.device.type} memory; 'auto' and 'mpi' work."
        )
    return Shared(wiring)


@BACKENDS.add
def mpi(wiring: Wiring, /) -> "Exchange":
    """MPI neighborhood collectives, persistent where the MPI has them; any graph, any MPI."""
    from mpidl.exchange.delayed import Delayed
    from mpidl.exchange.neighborhoods import Neighborhoods

    return Delayed(wiring) if wiring.delayed else Neighborhoods(wiring)


@BACKENDS.add
def allreduce(wiring: Wiring, /) -> "Exchange":
    """One all-reduce, for strategies that give every device the mean of all (federated)."""
    from mpidl.exchange.mean import Mean

    if not wiring.uniform:
        raise Fault(
            "exchange.backend = 'allreduce' needs strategy.name = 'federated', synchronous mixing "
            "and the participation of all; 'auto' and 'mpi' work."
        )
    return Mean(wiring)
