"""The mean of all devices' vectors, the same bits however devices are hosted."""

import itertools
from collections.abc import Mapping

from mpi4py import MPI

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl import kernels

COLUMNS = 1 << 18
"""How many columns each rank sums at a time: bounds the memory to a megabyte per device."""


class Average:
    """Collective. Mean over devices, by columns: all-reduce as reduce-scatter and all-gather.

    ``MPI_Allreduce`` adds in an order that depends on the number of ranks. Here every rank takes a
    slice of the columns of all devices, adds them in the order of the devices, and gives the sums
    to all: the traffic of an all-reduce, and a result that hosting does not change.

    Args:
        comm: All ranks.
        hosts: Device to rank, ``(N,)``.
        size: P, the length of a vector.
        dtype: Of the vectors. Numbers of 16 bits are sent and summed as float32.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        hosts: npt.NDArray[np.int64],
        size: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._comm, self._size = comm, size
        self._dtype = torch.promote_types(dtype, torch.float32)
        self._kind = MPI.DOUBLE if self._dtype == torch.float64 else MPI.FLOAT
        self._order = np.argsort(np.argsort(hosts, kind="stable"), kind="stable")
        self._hosted = np.bincount(hosts, minlength=comm.size)
        self._uniform = np.full(len(hosts), 1 / len(hosts))

    def __call__(self, vectors: Mapping[int, Tensor]) -> Tensor:
        """Collective. The mean of all devices' vectors, ``(P,)``, in host memory.

        Args:
            vectors: For each own device, ascending, its vector ``(P,)``.
        """
        mean = torch.empty(self._size, dtype=self._dtype)
        own = [vector.to("cpu", self._dtype) for vector in vectors.values()]
        step = COLUMNS * self._comm.size
        for start in range(0, self._size, step):
            stop = min(start + step, self._size)
            self._columns([v[start:stop] for v in own], mean[start:stop])
        return mean

    def _columns(self, own: list[Tensor], out: Tensor) -> None:
        ranks, rank = self._comm.size, self._comm.rank
        cuts = np.linspace(0, len(out), ranks + 1).astype(int)
        widths = np.diff(cuts)
        sent = torch.cat([v[a:b] for a, b in itertools.pairwise(cuts) for v in own])
        counts = widths * len(own), self._hosted * widths[rank]
        arrived = torch.empty(int(counts[1].sum()), dtype=self._dtype)
        self._comm.Alltoallv([sent, counts[0], self._kind], [arrived, counts[1], self._kind])
        rows = arrived.view(len(self._order), int(widths[rank]))
        mine = torch.empty(int(widths[rank]), dtype=self._dtype)
        kernels.mix(self._uniform, [rows[i] for i in self._order], out=mine)
        self._comm.Allgatherv([mine, self._kind], [out, widths, self._kind])
