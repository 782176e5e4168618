"""Marks: numbers sent through an exchange to test that vectors arrive as they were written."""

from collections.abc import Callable, Mapping

from mpi4py import MPI

import torch
from torch import Tensor

from mpidl.exchange.memory import Buffers
from mpidl.ranks.accelerators import settle

LENGTH = 251
"""Numbers after which marks repeat; the largest is exact in 16 bits."""


class Marks:
    """Numbers that differ by device, by buffer and by place in the vector.

    Args:
        like: Some vector, ``(P,)``.
    """

    def __init__(self, like: Tensor) -> None:
        self._size = len(like)
        marks = torch.arange(1, LENGTH + 1, device=like.device).to(like.dtype)
        self._all = marks.repeat(-(-self._size // LENGTH) + 1)

    def of(self, device: int, phase: int) -> Tensor:
        """The marks of a device in one of its buffers, ``(P,)``."""
        start = (2 * device + phase) % LENGTH
        return self._all[start : start + self._size]


def arrive(exchange: Buffers, move: Callable[[], Mapping[int, Tensor]]) -> bool:
    """Collective. Whether marks arrive from each buffer as they were written, on all ranks.

    Args:
        exchange: The exchange to test; its own vectors are zero before and after.
        move: Collective; lets the vectors of the present phase travel, and returns those of other
            ranks that have arrived, ``(P,)`` by device.
    """
    right, begun = True, exchange.phase
    marks = Marks(exchange.buffers[0][0, : exchange.size])
    for phase in range(len(exchange.buffers)):
        exchange.phase = phase
        for device, vector in exchange.vectors.items():
            vector.copy_(marks.of(device, phase))
        settle(exchange.device)
        right &= all(torch.equal(v, marks.of(j, phase)) for j, v in move().items())
    # After this reduction no rank reads another's vectors any more.
    right = bool(exchange.node.comm.allreduce(right, MPI.LAND))
    exchange.phase = begun
    for buffer in exchange.buffers:
        buffer.zero_()
    return right
