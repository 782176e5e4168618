"""Wiring from which backends are built: who hosts which devices, and who reads whose vector."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Wiring:
    """Wiring from which every backend is built.

    Attributes:
        node: The ranks of this node.
        hosts: Device to rank, ``(N,)``.
        graph: An edge j -> i if i may read the vector of j.
        size: P, the length of a vector.
        device: The hardware whose memory holds the vectors.
        dtype: The type of a vector's numbers.
        uniform: Whether every device takes the mean of all in every round.
        delayed: Whether neighbors' vectors are those of the last round.
        changing: Whether links differ from round to round.
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
