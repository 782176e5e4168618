"""The memory of an exchange: own vectors, twice, so that no device sees a half-mixed one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl import kernels
from mpidl.exchange import Wiring

Row = npt.NDArray[np.float64]
Members = Sequence[int]

ALIGNMENT = 64
"""Bytes. Vectors begin on cache lines, so that hosting does not change how arithmetic rounds."""


class Exchange(Protocol):
    """What every backend offers; :class:`Buffers` gives most of it.

    Attributes:
        device: The accelerator whose memory holds the vectors.
        bytes_sent: For each own device, bytes that leave this rank in a round.
        bytes_received: For each own device, bytes that arrive for it in a round.
    """

    device: torch.device
    bytes_sent: dict[int, int]
    bytes_received: dict[int, int]

    @property
    def vectors(self) -> dict[int, Tensor]:
        """For each own device its parameters, ``(P,)``; other memory after each :meth:`mix`."""

    def share(self) -> None:
        """Collective. Make the vectors of every neighborhood readable."""

    def mix(self, rows: Mapping[int, tuple[Members, Row]]) -> None:
        """Replace each own vector by the weighted sum over its members.

        Args:
            rows: For each own device the members of its neighborhood and their weights, ``(K,)``.
        """

    def close(self) -> None:
        """Collective. Give communicators and memory back."""


class Buffers:
    """Own vectors, twice: the mixture is written to the second buffer, then the two are swapped."""

    def __init__(self, wiring: Wiring) -> None:
        own = [int(i) for i in np.flatnonzero(wiring.hosts == wiring.comm.rank)]
        self.own, self.size, self.device = own, wiring.size, wiring.device
        per_line = ALIGNMENT // torch.float32.itemsize
        stride = -(-self.size // per_line) * per_line
        self.buffers = [torch.zeros(len(own), stride, device=self.device) for _ in range(2)]
        self.bytes_sent = dict.fromkeys(own, 0)
        self.bytes_received = dict.fromkeys(own, 0)
        self.phase = 0

    @property
    def vectors(self) -> dict[int, Tensor]:
        """For each own device its parameters, ``(P,)``."""
        return self._views(self.phase)

    def _views(self, phase: int) -> dict[int, Tensor]:
        rows = self.buffers[phase]
        return {device: rows[i, : self.size] for i, device in enumerate(self.own)}

    def _mix(self, rows: Mapping[int, tuple[Members, Row]], readable: Mapping[int, Tensor]) -> None:
        mixtures = self._views(1 - self.phase)
        for device, (members, weights) in rows.items():
            kernels.mix(weights, [readable[j] for j in members], out=mixtures[device])
        self.phase = 1 - self.phase


def ranks_served(
    graph: nx.DiGraph, hosts: npt.NDArray[np.int64], rank: int
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What this rank receives and sends: by other rank, the devices whose vectors travel.

    Each vector travels once to a rank, however many devices there want it. Both ends list the
    devices in ascending order, so no names need to travel.
    """
    receive: dict[int, set[int]] = {}
    send: dict[int, set[int]] = {}
    for source, target in graph.edges:
        there, here = int(hosts[source]), int(hosts[target])
        if there != here == rank:
            receive.setdefault(there, set()).add(source)
        if here != there == rank:
            send.setdefault(here, set()).add(source)
    return (
        {other: sorted(devices) for other, devices in sorted(receive.items())},
        {other: sorted(devices) for other, devices in sorted(send.items())},
    )
