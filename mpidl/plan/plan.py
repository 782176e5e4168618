"""Plan of a run: its mixing, with what data and training add; the same on every rank."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs, optimizer_trial, torch_optimizers
from mpidl.config.runfile import RunFile
from mpidl.plan import network
from mpidl.plan.gossip_plan import Mixing


@dataclass(frozen=True, kw_only=True)
class Plan(Mixing):
    """Plan of a run, before any parameter exists.

    Attributes:
        file: The run file, with the number of devices filled in.
        sources: The devices that hold out-of-distribution data, ascending.
        stragglers: The devices that are slow by the clock of the network, ascending.
    """

    file: RunFile
    sources: list[int]
    stragglers: list[int]

    def clock(self, message: int) -> network.Clock:
        """The simulated seconds at which devices finish rounds, given the bytes of a message.

        If the run file counts epochs, samples must be known.
        """
        training = self.file.training
        if training.steps is None:
            steps = np.ceil(np.array(self.samples) / training.batch_size) * training.epochs
        else:
            steps = np.full(self.devices, training.steps)
        return network.Clock(
            self.file.network,
            steps,
            self.stragglers,
            training.seed,
            lambda round_: self.traffic(round_, message),
            self.algorithm.order[0] == "exchange",
        )

    def numbers(self, size: int, rank: int) -> int:
        """About the number of floating values that a rank's devices take, if a model has P.

        It counts buffers, a gradient, the state of training and of the algorithm, and messages that
        may be late, from all in-neighbors of the rank's devices.
        """
        training, algorithm = self.file.training, self.algorithm
        states: float = 2 if training.optimizer != "sgd" else int(training.momentum > 0)
        if torch_optimizers.named(training):
            states = optimizer_trial.state_numbers(training, self.file.lr_schedule)
        buffers = 3 if self.file.exchange.mixing == "delayed" else 2
        others = 1 + states + int(training.proximal > 0) + int(algorithm.starts)
        lengths = self.lengths(size, size, self._busiest)
        kept = sum(algorithm.keeps(lengths).values()) + size * int(algorithm.read is not None)
        buffers += int(self.altered)
        travels, own = algorithm.travels(lengths), self.hosted(rank)
        late = network.longest(self.file.network)
        late *= len(self.readable(own)) if late else 0
        return len(own) * (buffers * travels + int(size * others) + kept) + late * travels

    @cached_property
    def _busiest(self) -> int:
        """The first device with the most in-neighbors."""
        heard = np.bincount(graphs.ends(self.mixing_graph)[:, 1], minlength=self.devices)
        return int(heard.argmax())

    def sizes(self, classes: int) -> dict[str, int]:
        """Length of each dimension of the series in the results file."""
        return {"round": self.file.training.rounds, "device": self.devices, "class": classes}

    def hops(self) -> npt.NDArray[np.int64]:
        """Links from the nearest OOD source to each device, ``(N,)``; -1 if there is no path."""
        return graphs.hops(self.graph, self.sources)
