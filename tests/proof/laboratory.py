"""Real rounds of devices that learn by a formula: the plan, backend, MPI and halves of a run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl import plan
from mpidl.devices.gossip import LocalGossip
from mpidl.exchange import BACKENDS
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm
from mpidl.run import build, rounds
from mpidl.storage import run_series
from mpidl.storage.round_values import RoundValues

Array = npt.NDArray[np.float64]
Gradient = Callable[[int, Array, int], Array]
"""Of the loss of a device at its model ``(P,)``, in some draw of the noise: ``(P,)``."""


def none(device: int, model: Array, draw: int) -> Array:
    """Nothing is learned."""
    return np.zeros_like(model)


@dataclass(frozen=True)
class Learning:
    """What devices learn, from where and how fast.

    Attributes:
        start: The models before the first round, ``(N, P)``.
        gradient: By which they descend.
        lr: The length of a step.
        steps: In a round.
    """

    start: Array
    gradient: Gradient = none
    lr: float = 1.0
    steps: int = 1

    def descend(self, device: int, model: Array, round_: int) -> None:
        """Take the local steps of a round, in place."""
        for draw in range(round_ * self.steps, (round_ + 1) * self.steps):
            model -= self.lr * self.gradient(device, model, draw)


class Learner:
    """What stands in for :class:`mpidl.devices.device.Device`: its model is a vector, no more."""

    def __init__(self, number: int, learning: Learning) -> None:
        self.number, self._learning = number, learning
        self.size = self.learned = learning.start.shape[1]
        self.vector = torch.empty(0)

    def adopt(self, vector: Tensor) -> None:
        """Begin in a vector ``(P,)``."""
        vector.copy_(torch.from_numpy(self._learning.start[self.number]))
        self.bind(vector)

    def bind(self, vector: Tensor) -> None:
        """Live in a vector ``(P,)``."""
        self.vector = vector

    def parameters(self, vector: Tensor) -> Iterator[Tensor]:
        """The vector as one row."""
        yield vector[None]

    def train(self, round_: int) -> float:
        """Take the local steps of a round; there is no loss."""
        self._learning.descend(self.number, self.vector.numpy(), round_)
        return 0.0


@dataclass(frozen=True)
class Course:
    """What became of all devices, on every rank.

    Attributes:
        plan: That of the run.
        rounds: After how many rounds it was looked at, ascending.
        models: ``(L, N, P)``.
        series: By name what was recorded, ``(L, N)``, NaN before the first round.
        memory: By name what the algorithm carries from round to round, ``(L, N, ...)``.
    """

    plan: plan.Plan
    rounds: Sequence[int]
    models: Array
    series: dict[str, Array]
    memory: dict[str, Array]


def planned(comm: Comm, devices: int, *settings: str) -> plan.Plan:
    """The plan of a run file: the embedded default with these settings."""
    file = plan.read(None, [f"topology.devices={devices}", *settings], comm.size)
    return plan.make(file, comm.size)


def run(
    comm: Comm,
    learning: Learning,
    *settings: str,
    rounds: int,
    looks: Sequence[int] | None = None,
) -> Course:
    """Collective. What becomes of devices in some rounds of a run file.

    Args:
        comm: All ranks; never more than devices.
        learning: What is learned in place of a data set.
        settings: Of the run file, over those of the embedded default.
        rounds: How many.
        looks: After how many rounds the devices are looked at; None: before and after each.
    """
    made = planned(comm, len(learning.start), f"training.rounds={rounds}", *settings)
    looks = range(rounds + 1) if looks is None else looks
    own = {number: Learner(number, learning) for number in made.hosted(comm.rank)}
    node = Node(comm)
    some = next(iter(own.values()))
    wiring = build.wired(node, made, some, torch.device("cpu"), torch.float64)
    exchange = BACKENDS[made.file.exchange.backend](wiring)
    parts: Any = SimpleNamespace(plan=made, devices=own, batch=None, tests={})
    parts.gossip = LocalGossip(comm, made, own, exchange)
    seen = [_look(parts, row) for row in _rounds(parts, rounds, looks)]
    exchange.close()
    node.close()
    models, series, memory = (_everyone(comm, list(part)) for part in zip(*seen, strict=True))
    return Course(made, looks, models["model"], series, memory)


def _rounds(parts: Any, count: int, looks: Sequence[int]) -> Iterator[RoundValues]:
    """Run all rounds; the row of each after which somebody looks."""
    halves = {"train": rounds.train, "exchange": rounds.exchange}
    row = RoundValues(list(parts.devices), run_series.of(1), lambda: 0.0)
    for done in range(count + 1):
        if done:
            row.clear()
            learners = parts.plan.learners(done - 1)
            row.trained[:] = [number in learners for number in parts.devices]
            for half in parts.plan.algorithm.order:
                halves[half](parts, row, done - 1, done in looks)
        if done in looks:
            yield row


def _look(parts: Any, row: RoundValues) -> tuple[dict[str, dict[int, Array]], ...]:
    """Copies of models, recorded numbers and memory of this rank's devices: ``{key: {device}}``."""
    models = {number: learner.vector.numpy().copy() for number, learner in parts.devices.items()}
    series = {key: dict(zip(parts.devices, row[key].copy(), strict=True)) for key in _SERIES}
    memory = {
        key: {number: vector.numpy().copy() for number, vector in vectors.items()}
        for key, vectors in parts.gossip.memory().items()
    }
    return {"model": models}, series, memory


_SERIES = ("mass", "staleness", "consensus_distance")


def _everyone(comm: Comm, own: list[dict[str, dict[int, Array]]]) -> dict[str, Array]:
    """Collective. For each key the looks at all devices, ``(L, N, ...)``; ragged ones left out."""
    parts = comm.allgather(own)
    found = {}
    for key in own[0]:
        looks = [
            {n: v for part in parts for n, v in part[look][key].items()} for look in range(len(own))
        ]
        rows = [[look[number] for number in sorted(look)] for look in looks]
        if len({np.shape(vector) for vector in rows[0]}) == 1:
            found[key] = np.array(rows)
    return found
