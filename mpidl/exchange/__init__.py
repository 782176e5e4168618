"""Communication backends: own parameters in, the neighborhood's readable, mixed parameters out.

A backend is a builder here, ``(wiring, /) -> Exchange``, and a file of its own beside. Builders
import torch when called, because a run file is checked before torch is loaded.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.config.registry import Properties, Registry
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm

if TYPE_CHECKING:
    import torch

    from mpidl.exchange.memory import Exchange

BACKENDS = Registry("exchange backend", Properties)


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
        changing: Whether links are others in each round.
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
    changing: bool = False
    accelerator_aware: str = "auto"

    @property
    def comm(self) -> Comm:
        """All ranks."""
        return self.node.comm


@BACKENDS.add
def auto(wiring: Wiring, /) -> "Exchange":
    """The backend that fits accelerators, ranks and graph; a run says which one, and why."""
    from mpidl.exchange.survey import choose, survey

    name, reason = choose(survey(wiring))
    exchange: Exchange = BACKENDS[name](wiring)
    exchange.reason = reason
    return exchange


@BACKENDS.add
def shared(wiring: Wiring, /) -> "Exchange":
    """Memory that the ranks of a node share, mixed by columns; messages only between nodes."""
    from mpidl.exchange.slab import Shared

    _require("shared", wiring)
    return Shared(wiring)


@BACKENDS.add
def mpi(wiring: Wiring, /) -> "Exchange":
    """MPI neighborhood collectives, persistent where the MPI has them; any graph, any MPI.

    Where the graph changes messages go point to point, and only those that the round wants.
    """
    from mpidl.exchange.delayed import Delayed
    from mpidl.exchange.neighborhoods import Neighborhoods
    from mpidl.exchange.pairs import Pairs

    if wiring.delayed:
        return Delayed(wiring)
    return Pairs(wiring) if wiring.changing else Neighborhoods(wiring)


@BACKENDS.add
def allreduce(wiring: Wiring, /) -> "Exchange":
    """One all-reduce, for strategies that give every device the mean of all (federated)."""
    from mpidl.exchange.mean import Mean

    if not wiring.uniform:
        raise Fault(
            "exchange.backend = 'allreduce' needs strategy.name = 'federated', synchronous mixing, "
            "the participation of all, and neither delays nor attackers; 'auto' and 'mpi' work."
        )
    return Mean(wiring)


@BACKENDS.add
def gloo(wiring: Wiring, /) -> "Exchange":
    """Batches of messages by torch.distributed over TCP, for vectors in host memory."""
    from mpidl.exchange.process_group import Gloo

    _require("gloo", wiring)
    return Gloo(wiring)


@BACKENDS.add
def nccl(wiring: Wiring, /) -> "Exchange":
    """Batches of messages between CUDA GPUs by NCCL, one rank on each."""
    from mpidl.exchange.process_group import Nccl

    _require("nccl", wiring)
    return Nccl(wiring)


@BACKENDS.add
def xccl(wiring: Wiring, /) -> "Exchange":
    """Batches of messages between XPUs by oneCCL, as torch has it since 2.8."""
    from mpidl.exchange.process_group import Xccl

    _require("xccl", wiring)
    return Xccl(wiring)


@BACKENDS.add
def ccl(wiring: Wiring, /) -> "Exchange":
    """All-gather between XPUs by oneCCL's bindings to torch, for installations before xccl."""
    from mpidl.exchange.process_group import Ccl

    _require("ccl", wiring)
    return Ccl(wiring)


@BACKENDS.add
def ipc(wiring: Wiring, /) -> "Exchange":
    """Ranks of one node mix from each other's CUDA memory, on one GPU or on linked ones."""
    from mpidl.exchange.windows import Ipc

    _require("ipc", wiring)
    return Ipc(wiring)


def _require(name: str, wiring: Wiring) -> None:
    from mpidl.exchange.survey import require, survey

    require(name, survey(wiring))
