"""Parts of an algorithm: steps around training and mixing, and the state that they keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Drawn, Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class State:
    """The part of one device that an algorithm reads and changes.

    Training is an oracle: it moves ``w`` away from ``start``. So every algorithm works with every
    optimizer, any number of local steps, momentum and weight decay; with one step of plain SGD
    ``start - w`` is the learning rate times the gradient. Batch-norm statistics are mixed
    unchanged, whatever the algorithm does to learned numbers.

    Attributes:
        x: The model, ``(P,)``: learned numbers, then batch-norm statistics.
        vector: The message, ``(M,)``, in the memory of the exchange; ``x`` is its first part,
            unless the algorithm reads.
        learned: T, the number of learned values among the P.
        number: The device's number.
        devices: N.
        seed: The seed of the run.
        round: The round; rounds count from 0.
        trained: Whether the device has begun a training in this round.
        present: Whether the device is active in this round.
        heard: The number of in-neighbors that it reads in this round.
        kept: Vectors that the algorithm keeps from round to round, by name.
        start: The learned numbers before the round's training, ``(T,)``, if the algorithm
            ``starts``.
        left: A vector that ``give`` leaves to ``take`` of the same round.
        series: Values for the results file, by name of their series.
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
    series: dict[str, float] = field(default_factory=dict)

    @property
    def w(self) -> "Tensor":
        """The learned numbers, ``(T,)``: the first part of ``x``."""
        return self.x[: self.learned]

    @property
    def tail(self) -> "Tensor":
        """The part of the message after the model, ``(M - P,)``."""
        return self.vector[len(self.x) :]


@dataclass(frozen=True)
class Lengths:
    """Quantities from which the lengths of an algorithm's vectors follow.

    Attributes:
        size: P.
        learned: T, the number of learned values among the P.
        members: The device itself, then all its in-neighbors in any round.
        itemsize: Bytes of a number.
    """

    size: int
    learned: int
    members: Sequence[int] = ()
    itemsize: int = 4


@dataclass(frozen=True)
class Messages:
    """Messages that arrived at a device, for an algorithm that reads, with its mixing weights.

    Attributes:
        members: The device itself, then its in-neighbors of this round.
        weights: Its mixing weights over them, ``(K,)``.
        vectors: The message of each of them, ``(M,)``, in the memory of the exchange.
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
    """Steps of one device in a round, beside training and the weighted sum.

    In each round: ``give`` after training, before messages travel; then ``x <- W x`` over messages,
    or ``read`` in its place; then ``take``.

    Attributes:
        setup: Prepares the state once, at the start of a run; kept vectors are zero before it.
        give: Makes the message.
        take: Makes the parameters from the mixed messages.
        read: Makes the parameters from the messages, in place of the weighted sum; None if the
            exchange mixes. With it, message and parameters have separate memory.
        travels: M, the length of a message.
        keeps: Lengths of the vectors that a device keeps, by name.
        starts: Whether it needs the learned numbers from before training.
        order: Order of the two halves of a round, ``train`` and ``exchange``.
        lazy: Share of the identity in the mixing matrix, ``(1 - lazy) W + lazy I``.
        columns: Whether senders share out their vectors: W is column-stochastic.
        by_mass: Whether the steps of a device count by its mass, if senders share out.
        trains: Whether a device begins a training in a round, by seed, device and round.
        series: Names of the series in which it records values.
        needs: What network, graph and strategy must have.
        doubly: Whether it needs a doubly stochastic W, to lead to the optimum of all losses.
        extrapolates: Whether it mixes ``2 x - x_before``, less gradients; parts of that grow if W
            is not symmetric.
    """

    setup: Step = _nothing
    give: Step = _nothing
    take: Step = _nothing
    read: Callable[[State, Messages], None] | None = None
    travels: Callable[[Lengths], int] = _the_model
    keeps: Callable[[Lengths], Mapping[str, int]] = _no_memory
    starts: bool = False
    order: tuple[str, str] = ("train", "exchange")
    lazy: float = 0.0
    columns: bool = False
    by_mass: bool = False
    trains: Callable[[int, int, int], bool] = _always
    series: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    doubly: bool = False
    extrapolates: bool = False

    @property
    def plain(self) -> bool:
        """Whether the model is the mixed message, and the message nothing but the model."""
        return self.read is None and self.take is _nothing and self.travels is _the_model


TRIED = Lengths(1000, 900, (0, 1, 2))
"""Quantities with which lengths of vectors are tried."""


def _checked(name: str, algorithm: Any, *_: object) -> Algorithm:
    """What the builder of an algorithm returned.

    Raises:
        Fault: If it is no :class:`Algorithm`, or some attribute is not what it must be.
    """
    subject = f"algorithm.name = {name!r}:"
    if not isinstance(algorithm, Algorithm):
        raise Fault(f"{subject} gives {shown(algorithm)}: must be an Algorithm.")
    for step in ("setup", "give", "take", "read", "travels", "keeps", "trains"):
        value = getattr(algorithm, step)
        if not callable(value) and (step != "read" or value is not None):
            raise Fault(f"{subject} its {step} is {shown(value)}: must be a function.")
    if sorted(algorithm.order) != ["exchange", "train"]:
        order = shown(algorithm.order)
        raise Fault(f"{subject} its order is {order}: must be 'train' and 'exchange', or turned.")
    if not isinstance(algorithm.lazy, Real) or not 0 <= algorithm.lazy < 1:
        raise Fault(f"{subject} lazy is {shown(algorithm.lazy)}: must be from 0 to below 1.")
    check_lengths(name, algorithm, TRIED)
    return algorithm


def check_lengths(name: str, algorithm: Algorithm, lengths: Lengths) -> None:
    """Check the lengths of an algorithm's vectors.

    Raises:
        Fault: If one is no length; the sentence has the name of the algorithm.
    """
    travels, keeps = algorithm.travels(lengths), algorithm.keeps(lengths)
    subject, given = f"algorithm.name = {name!r}:", f"for a model of {lengths.size:,} numbers"
    if not isinstance(travels, Integral) or travels < 0:
        raise Fault(f"{subject} {given} travels gives {shown(travels)}: must be a whole number.")
    if algorithm.read is None and travels < lengths.size:
        raise Fault(
            f"{subject} {given} travels gives {travels:,}: must be {lengths.size:,} or more, as a "
            "message begins with the model."
        )
    if not isinstance(keeps, Mapping):
        raise Fault(f"{subject} keeps gives {shown(keeps)}: must be a dictionary of lengths.")
    for key, length in keeps.items():
        if not isinstance(key, str) or not isinstance(length, Integral) or length < 0:
            raise Fault(
                f"{subject} {given} keeps gives {shown(key)} the length {shown(length)}: must be "
                "names and whole numbers."
            )


ALGORITHMS = Registry("algorithm", Drawn, gives=0, check=_checked)
"""``builder(...) -> Algorithm``, from the settings of a run file."""
