"""Delayed mixing, with the neighbors' vectors of the last round, which travel during training."""

from collections.abc import Mapping, Sequence

from mpi4py import MPI

import networkx as nx
import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.kernels import Mixture
from mpidl.exchange.neighborhoods import Neighborhoods
from mpidl.exchange.slots import MixingWeights


class Delayed(Neighborhoods):
    """Collective. ``x_i <- W[i, i] y_i(t) + sum_j W[i, j] y_j(t - 1)``, y the trained vectors.

    A device waits only for its own training: the vectors of a round travel while the next one is
    trained. The first round has no round before it, and mixes with its own vectors. There are three
    buffers: for vectors that travel, that are trained, and that a neighbor on the same rank had a
    round ago. If the graph changes, all vectors travel that are read in any round, as they leave
    before the round in which they are read.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._moving: MPI.Request | None = None
        self._round = 0
        super().__init__(wiring)

    def _allocate(self) -> list[Tensor]:
        first, second = super()._allocate()
        return [first, second, torch.zeros_like(first)]

    def _prepare(self, foreign: Sequence[Mapping[int, Tensor]]) -> None:
        for turn in range(3):
            now, ago, then = (self._vectors[(turn + k) % 3] for k in (0, 2, 1))
            for others in (now, ago):
                readable = {**foreign[0], **others}
                known = self._slots.members.items()
                members = [[now[i], *(readable[j] for j in near[1:])] for i, near in known]
                self._mixtures.append(Mixture(members, list(then.values())))

    def arrive(self, weights: MixingWeights, links: nx.DiGraph | None = None) -> None:
        """Hand in own mixing weights, without waiting for other ranks."""
        self._take(weights)

    def share(self) -> None:
        """Collective. Wait for the vectors of the last round, or in the first round for its own."""
        if self._round == 0:
            self._moving = self._start()
        if self._moving is not None:
            self._finish(self._moving)
            self._moving = None

    @property
    def _current(self) -> Mixture:
        return self._mixtures[2 * self.phase + (self._round > 0)]

    def _turn(self) -> None:
        """Make the written vectors the own ones, and let the trained ones travel."""
        if self._round > 0:
            self._moving = self._start()
        self.phase = (self.phase + 1) % 3
        self._round += 1

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The vectors trained in the last round, which are mixed in the next: ``previous``."""
        return {"previous": self._vectors[(self.phase + 2) % 3]}

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Let the vectors that were trained in the last round travel again."""
        mixed = self.phase
        self.phase = (mixed + 2) % 3
        for device, vector in self.vectors.items():
            vector.copy_(memory["previous"][device])
        self._moving = self._start()
        self.phase, self._round = mixed, 1

    def close(self) -> None:
        """Collective. Wait for the last vectors, then free requests and the communicator."""
        if self._moving is not None:
            self._finish(self._moving)
        super().close()
