"""Messages between nodes whose ranks share memory: their receivers, and waiting for them."""

import os
import time
from collections.abc import Mapping, Sequence

from mpi4py import MPI

import numpy as np
import numpy.typing as npt

EAGER = 1e-3
"""Seconds for which a rank that waits for a message yields its core before it sleeps."""


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
