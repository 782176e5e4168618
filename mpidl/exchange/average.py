"""The mean of all devices' vectors, the same bits however devices are hosted."""

import itertools
from collections.abc import Mapping, Sequence

from mpi4py import MPI

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.exchange import kernels

COLUMNS = 1 << 18
"""How many columns each rank sums at a time: bounds the memory to a megabyte per device."""


class Average:
    """Collective. Mean over devices: products rounded, then added in the order of the devices.

    ``MPI_Allreduce`` adds in an order that depends on the number of ranks; sums of each rank's own
    vectors, added up, would too. So, of the ways that keep the bits whatever the hosting:

    - One rank adds its vectors where they lie.
    - Each rank takes a slice of the columns of all devices, adds them, and gives the sums to all:
      an all-reduce as reduce-scatter and all-gather.
    - On accelerators whose ranks host several devices each, in blocks, sums go from rank to rank:
      each adds its own vectors, where they lie, to those of the ranks before it. Of its vectors
      none leaves the accelerator, and while one rank adds some columns, others add other ones.

    Args:
        comm: All ranks.
        hosts: Device to rank, ``(N,)``.
        size: P, the length of a vector.
        dtype: Of the vectors. Numbers of 16 bits are sent and summed as float32.
        kind: Of the hardware in whose memory they lie, on every rank.
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
        """Collective. The mean of all devices' vectors, ``(P,)``, where own ones lie.

        Args:
            vectors: For each own device, ascending, its vector ``(P,)``.
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
        rows = arrived.view(len(self._order), int(widths[rank]))
        mine = torch.empty(int(widths[rank]), dtype=self._dtype)
        kernels.mix(self._uniform, [rows[i] for i in self._order], out=mine)
        self._comm.Allgatherv([mine, self._kind], [out, widths, self._kind])

    def _pass_on(self, own: Sequence[Tensor], mean: Tensor) -> None:
        rank, last = self._comm.rank, self._comm.size - 1
        sending = MPI.REQUEST_NULL
        for start in range(0, self._size, COLUMNS):
            part = slice(start, start + COLUMNS)
            members, weights = [vector[part] for vector in own], self._uniform[: len(own)]
            if rank > 0:
                self._comm.Recv([mean[part], self._kind], rank - 1)
                # Times one, the sums so far stay what they are.
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
