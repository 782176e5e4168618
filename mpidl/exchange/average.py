"""Average of all devices' vectors, with the same bits however devices are hosted."""

import itertools
from collections.abc import Mapping, Sequence

from mpi4py import MPI

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.exchange import kernels

COLUMNS = 1 << 18
"""Columns that each rank sums at a time, which limits memory to a megabyte per device."""


class Average:
    """Collective. Mean over devices: products rounded, then added in the order of the devices.

    ``MPI_Allreduce`` adds in an order that depends on the number of ranks, and so would adding the
    sums of each rank's vectors. Three ways keep the bits whatever the hosting:

    - A single rank adds its vectors in place.
    - Each rank takes a slice of the columns of all devices, adds them, and sends the sums to all:
      an all-reduce as reduce-scatter and all-gather.
    - On accelerators whose ranks host several devices each, in blocks, sums go from rank to rank:
      each rank adds its own vectors, in place, to the sum of the ranks before it. No vector leaves
      its accelerator, and ranks work on different columns at the same time.

    Args:
        comm: All ranks.
        hosts: Device to rank, ``(N,)``.
        size: P, the length of a vector.
        dtype: Type of the vectors' numbers. 16-bit numbers are sent and summed as float32.
        kind: Kind of hardware whose memory holds the vectors, on every rank.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        hosts: npt.NDArray[np.int64],
        size: int,
        dtype: torch.dtype = torch.float32,
        kind: str = "cpu",
    ) -> None:
        self._comm, self._size = comm, size
        self._dtype = torch.promote_types(dtype, torch.float32)
        self._kind = MPI.DOUBLE if self._dtype == torch.float64 else MPI.FLOAT
        self._order = np.argsort(np.argsort(hosts, kind="stable"), kind="stable")
        self._hosted = np.bincount(hosts, minlength=comm.size)
        self._uniform = np.full(len(hosts), 1 / len(hosts))
        blocks = bool((np.diff(hosts) >= 0).all()) and self._hosted.min() > 0
        self._passes = kind != "cpu" and blocks and self._hosted.max() > 1

    def __call__(self, vectors: Mapping[int, Tensor]) -> Tensor:
        """Collective. The mean of all devices' vectors, ``(P,)``, in the memory of own vectors.

        Args:
            vectors: The vector of each own device, ``(P,)``, in ascending order.
        """
        own = [vector.to(self._dtype) for vector in vectors.values()]
        if self._comm.size == 1:
            mean = torch.empty_like(own[0])
            kernels.mix(self._uniform, own, out=mean)
            return mean
        mean = torch.empty(self._size, dtype=self._dtype)
        if self._passes:
            self._pass_on(own, mean)
        else:
            self._exchange([vector.cpu() for vector in own], mean)
        return mean.to(own[0].device)

    def _exchange(self, own: Sequence[Tensor], mean: Tensor) -> None:
        step = COLUMNS * self._comm.size
        for start in range(0, self._size, step):
            stop = min(start + step, self._size)
            self._columns([v[start:stop] for v in own], mean[start:stop])

    def _columns(self, own: list[Tensor], out: Tensor) -> None:
        ranks, rank = self._comm.size, self._comm.rank
        cuts = np.linspace(0, len(out), ranks + 1).astype(int)
        widths = np.diff(cuts)
        sent = torch.cat([v[a:b] for a, b in itertools.pairwise(cuts) for v in own])
        counts = widths * len(own), self._hosted * widths[rank]
        arrived = torch.empty(int(counts[1].sum()), dtype=self._dtype)
        self._comm.Alltoallv([sent, counts[0], self._kind], [arrived, counts[1], self._kind])
        by_rank = arrived.view(len(self._order), int(widths[rank]))
        mine = torch.empty(int(widths[rank]), dtype=self._dtype)
        kernels.mix(self._uniform, [by_rank[i] for i in self._order], out=mine)
        self._comm.Allgatherv([mine, self._kind], [out, widths, self._kind])

    def _pass_on(self, own: Sequence[Tensor], mean: Tensor) -> None:
        rank, last = self._comm.rank, self._comm.size - 1
        sending = MPI.REQUEST_NULL
        for start in range(0, self._size, COLUMNS):
            part = slice(start, start + COLUMNS)
            members, weights = [vector[part] for vector in own], self._uniform[: len(own)]
            if rank > 0:
                self._comm.Recv([mean[part], self._kind], rank - 1)
                # Weight 1 keeps the sums so far as they are.
                members.insert(0, mean[part].to(own[0].device))
                weights = np.concatenate([[1.0], weights])
            sums = torch.empty_like(members[0])
            kernels.mix(weights, members, out=sums)
            mean[part] = sums.cpu()
            sending.Wait()
            if rank < last:
                sending = self._comm.Isend([mean[part], self._kind], rank + 1)
        sending.Wait()
        self._comm.Bcast([mean, self._kind], last)
