"""The parts of an algorithm: a few steps around training and mixing, and what they keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mpidl.config.registry import Drawn, Registry

if TYPE_CHECKING:
    from torch import Tensor

ALGORITHMS = Registry("algorithm", Drawn)
"""``builder(...) -> Algorithm``, from what a run file sets."""


@dataclass
class State:
    """What an algorithm sees of one device.

    Training is an oracle: it moves ``w`` from ``start`` to where it is after it. So every algorithm
    goes with every optimizer, any number of local steps, momentum and weight decay; with one step
    of plain SGD ``start - w`` is the learning rate times the gradient. Batch-norm statistics are
    mixed as they are, whatever the algorithm does to what is learned.

    Attributes:
        x: The model, ``(P,)``: what is learned, then batch-norm statistics.
        vector: What travels, ``(M,)``, in the memory of the exchange; ``x`` is its head, unless the
            algorithm reads.
        learned: T, how many of the P numbers are learned.
        number: Which device this is.
        devices: N.
        seed: Of the run.
        round: Which round this is; rounds count from 0.
        trained: Whether the device has begun a training in this round.
        present: Whether the device takes part in this round.
        heard: Of how many others it reads in this round.
        kept: What the algorithm keeps from round to round, by name.
        start: What was learned before the round's training, ``(T,)``, where the algorithm asks.
        left: What ``give`` leaves to ``take`` of the same round.
        told: Numbers for the results file, by series.
    """

    x: "Tensor"
    vector: "Tensor"
    learned: int
    number: int = 0
    devices: int = 1
    seed: int = 0
    round: int = 0
    trained: bool = True
    present: bool = True
    heard: int = 0
    kept: dict[str, "Tensor"] = field(default_factory=dict)
    start: "Tensor | None" = None
    left: "Tensor | None" = None
    told: dict[str, float] = field(default_factory=dict)

    @property
    def w(self) -> "Tensor":
        """What is learned, ``(T,)``: the head of ``x``."""
        return self.x[: self.learned]

    @property
    def tail(self) -> "Tensor":
        """What travels behind the model, ``(M - P,)``."""
        return self.vector[len(self.x) :]


@dataclass(frozen=True)
class Lengths:
    """What the lengths of an algorithm's vectors follow from.

    Attributes:
        size: P.
        learned: T, how many of the P numbers are learned.
        members: The device itself, then all whom it may ever hear.
        itemsize: Bytes of a number.
    """

    size: int
    learned: int
    members: Sequence[int] = ()
    itemsize: int = 4


@dataclass(frozen=True)
class Letters:
    """What a device that reads is given: the vectors that arrived, and its row of W.

    Attributes:
        members: The device itself, then whom it hears in this round.
        weights: Its row of W over them, ``(K,)``.
        vectors: What each of them sent, ``(M,)``, in the memory of the exchange.
    """

    members: Sequence[int]
    weights: npt.NDArray[np.float64]
    vectors: Sequence["Tensor"]


Step = Callable[[State], None]
Need = Literal["every message", "on time", "a tree", "equal weights"]


def _nothing(state: State) -> None:
    """Leave the state as it is."""


def _always(seed: int, device: int, round_: int) -> bool:
    return True


def _the_model(lengths: Lengths) -> int:
    return lengths.size


def _no_memory(lengths: Lengths) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True)
class Algorithm:
    """What one device does in a round, beside training and the weighted sum.

    In each round: ``give`` after training, before vectors travel; then ``x <- W x`` over what
    travels, or ``read`` in its place; then ``take``.

    Attributes:
        setup: Once, at the begin of a run, with all that is kept set to zero.
        give: Make what travels.
        take: Make the parameters of what was mixed.
        read: In place of the weighted sum, make the parameters of what others sent; None where
            the exchange mixes. What travels is then not the parameters' memory.
        travels: M, how many numbers travel.
        keeps: Lengths of what a device keeps, by name.
        starts: Whether it asks for what was learned before training.
        order: Of the two halves of a round, ``train`` and ``exchange``.
        lazy: By how much W gives way to the identity: ``(1 - lazy) W + lazy I``.
        columns: Whether senders share out their vectors: W is column-stochastic.
        by_mass: Whether, where they do so, the steps of a device count by its mass.
        trains: Whether a device begins a training in a round, by seed, device and round.
        tells: The series in which it records numbers.
        needs: What it asks of network, graph and strategy.
        doubly: Whether it is made for a W that is doubly stochastic: with one it leads to the
            optimum of all losses.
        extrapolates: Whether it mixes ``2 x - x_before``, less gradients, of which some parts grow
            where W is not symmetric.
    """

    setup: Step = _nothing
    give: Step = _nothing
    take: Step = _nothing
    read: Callable[[State, Letters], None] | None = None
    travels: Callable[[Lengths], int] = _the_model
    keeps: Callable[[Lengths], Mapping[str, int]] = _no_memory
    starts: bool = False
    order: tuple[str, str] = ("train", "exchange")
    lazy: float = 0.0
    columns: bool = False
    by_mass: bool = False
    trains: Callable[[int, int, int], bool] = _always
    tells: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    doubly: bool = False
    extrapolates: bool = False

    @property
    def plain(self) -> bool:
        """Whether the model is what was mixed, and nothing else was."""
        return self.read is None and self.take is _nothing and self.travels is _the_model
