"""Traffic between nodes whose ranks share memory: each vector travels once to a node."""

import os
import time
from collections.abc import Mapping, Sequence
from itertools import chain

from mpi4py import MPI

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.exchange.trips import wants
from mpidl.exchange.wiring import Wiring

EAGER = 1e-3
"""Seconds for which a rank that waits for a message yields its core before it sleeps."""


class Traffic:
    """The messages between nodes: vectors that others read, in chunks, to one rank of each node.

    Args:
        wiring: The wiring of the exchange.

    Attributes:
        foreign: The devices of other nodes whose vectors this node may read, in ascending order.
    """

    def __init__(self, wiring: Wiring) -> None:
        node, self._hosts, self._changing = wiring.node, wiring.hosts, wiring.changing
        self._node, self._nodes = node, node.ranks[wiring.hosts]
        self._mine = int(node.ranks[node.comm.rank])
        self._wanted = wants(wiring.graph, self._nodes, node.count)
        needed = {number: sorted(devices) for number, devices in self._wanted.items()}
        self.foreign = needed[self._mine]
        self._targets = {n: receivers(node.ranks, n, devices) for n, devices in needed.items()}

    def open(
        self,
        chunks: Sequence[slice],
        inbox: Mapping[int, Tensor],
        vectors: Sequence[Mapping[int, Tensor]],
    ) -> None:
        """Collective. Prepare all messages, once.

        Args:
            chunks: The columns of each chunk.
            inbox: Where each foreign vector arrives, ``(P,)``.
            vectors: For each phase the vectors of own devices, ``(P,)``.
        """
        self._comm = self._node.comm.Dup()
        self._incoming = [self._receives(columns, inbox) for columns in chunks]
        self._outgoing = [[self._sends(columns, own) for columns in chunks] for own in vectors]
        self.turn()

    def _receives(self, columns: slice, inbox: Mapping[int, Tensor]) -> dict[int, MPI.Prequest]:
        receiver = self._targets[self._mine]
        return {
            j: self._comm.Recv_init(_bytes(vector[columns]), int(self._hosts[j]))
            for j, vector in inbox.items()
            if receiver[j] == self._comm.rank
        }

    def _sends(
        self, columns: slice, vectors: Mapping[int, Tensor]
    ) -> dict[tuple[int, int], MPI.Prequest]:
        return {
            (number, j): self._comm.Send_init(_bytes(vector[columns]), receiver[j])
            for j, vector in vectors.items()
            for number, receiver in self._targets.items()
            if number != self._mine and j in receiver
        }

    def follow(self, links: nx.DiGraph) -> None:
        """Start to receive the vectors that the links of a round need; only these travel."""
        self._wanted = wants(links, self._nodes, self._node.count)
        self._expect()

    def _arriving(self, chunk: int) -> list[MPI.Prequest]:
        """The messages of a chunk that this rank receives in this round."""
        needed = self._wanted[self._mine]
        return [request for j, request in self._incoming[chunk].items() if j in needed]

    def _leaving(self, phase: int, chunk: int) -> list[MPI.Prequest]:
        """The messages of a chunk that this rank sends in this round."""
        requests = self._outgoing[phase][chunk].items()
        return [request for (number, j), request in requests if j in self._wanted[number]]

    def turn(self) -> None:
        """Start to receive the vectors of the next round, unless :meth:`follow` tells its needs."""
        if not self._changing:
            self._expect()

    def _expect(self) -> None:
        for chunk in range(len(self._incoming)):
            start(self._arriving(chunk))

    def leave(self, phase: int) -> None:
        """Start to send own vectors of a phase."""
        for chunk in range(len(self._incoming)):
            start(self._leaving(phase, chunk))

    def finish(self, phase: int, chunk: int) -> None:
        """Wait until a chunk has come and gone."""
        finish([*self._arriving(chunk), *self._leaving(phase, chunk)])

    def close(self) -> None:
        """Collective. Free all messages, also those of one more round that are expected."""
        for chunk in range(0 if self._changing else len(self._incoming)):
            for request in self._arriving(chunk):
                request.Cancel()
                request.Wait()
        incoming = (requests.values() for requests in self._incoming)
        outgoing = (requests.values() for phase in self._outgoing for requests in phase)
        for request in chain.from_iterable((*incoming, *outgoing)):
            request.Free()
        self._comm.Free()


def receivers(
    ranks: npt.NDArray[np.int64], number: int, devices: Sequence[int]
) -> Mapping[int, int]:
    """The rank of a node that receives each vector that the node needs; ranks take turns.

    Args:
        ranks: Rank to node.
        number: The node.
        devices: The devices whose vectors it needs, in ascending order.
    """
    own = np.flatnonzero(ranks == number).tolist()
    return {device: own[turn % len(own)] for turn, device in enumerate(devices)}


def start(requests: list[MPI.Prequest]) -> None:
    """Start persistent messages, if there are any."""
    if requests:
        MPI.Prequest.Startall(requests)


def finish(requests: Sequence[MPI.Request]) -> None:
    """Wait for messages, and leave the core to ranks that work."""
    began, pause = time.monotonic(), 5e-5
    while requests and not MPI.Request.Testall(requests):
        if time.monotonic() - began < EAGER:
            os.sched_yield()
        else:
            time.sleep(pause)


def _bytes(vector: Tensor) -> Tensor:
    return vector.view(torch.uint8)
