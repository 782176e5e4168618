"""Federated averaging: the mean of all devices, computed once."""

import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.memory import Buffers


class Mean(Buffers):
    """Collective. Every device takes the mean of all; rows of weights are not read."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._mean: Tensor = torch.empty(0)
        # Of each own vector all but this rank's columns leave; of the mean, this rank's columns.
        ranks = wiring.comm.size
        away = self.size * self.dtype.itemsize * (ranks - 1) // ranks
        self.bytes_sent = dict.fromkeys(self.own, away + away // len(self.own))
        self.bytes_received = dict(self.bytes_sent)

    def share(self) -> None:
        """Collective. Compute the mean."""
        self._mean = self._average(self.vectors)

    def mix(self, measure: bool = False) -> None:
        """Replace each own vector by the mean."""
        self.buffers[1 - self.phase][:, : self.size] = self._mean.to(self.device)
        self.phase = 1 - self.phase

    def close(self) -> None:
        """Nothing is held."""
