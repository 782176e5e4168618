"""Mean of all devices, computed once, as in federated averaging."""

import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.memory import Buffers


class Mean(Buffers):
    """Collective. Every device takes the mean of all; mixing weights are not read."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._mean: Tensor = torch.empty(0)
        self._count_as_allreduce()

    def share(self) -> None:
        """Collective. Compute the mean."""
        self._mean = self._average(self.vectors)

    def mix(self, measure: bool = False) -> None:
        """Replace each own vector by the mean."""
        self.buffers[1 - self.phase][:, : self.size] = self._mean.to(self.device)
        self._turn()

    def close(self) -> None:
        """Do nothing, as nothing has to be freed."""
