"""Messages between nodes whose ranks share memory: who receives what a node wants, and waiting."""

import os
import time
from collections.abc import Mapping, Sequence

from mpi4py import MPI

import numpy as np
import numpy.typing as npt

EAGER = 1e-3
"""Seconds for which a rank that waits for a message gives its core away but does not sleep."""


def receivers(
    ranks: npt.NDArray[np.int64], number: int, devices: Sequence[int]
) -> Mapping[int, int]:
    """Which rank of a node receives each vector that the node wants: they take turns.

    Args:
        ranks: Rank to node.
        number: The node.
        devices: What it wants, ascending.
    """
    there = np.flatnonzero(ranks == number).tolist()
    return {device: there[turn % len(there)] for turn, device in enumerate(devices)}


def start(requests: list[MPI.Prequest]) -> None:
    """Begin to move what persistent messages move; none of them are no error."""
    if requests:
        MPI.Prequest.Startall(requests)


def finish(requests: Sequence[MPI.Request]) -> None:
    """Wait for messages without taking the core from ranks that work."""
    began, pause = time.monotonic(), 5e-5
    while requests and not MPI.Request.Testall(requests):
        if time.monotonic() - began < EAGER:
            os.sched_yield()
        else:
            time.sleep(pause)
