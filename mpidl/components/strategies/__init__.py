"""Strategies: rows of the mixing matrix, schedules of the temperature, and the whole matrix."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import robust, rows, similarity, sinkhorn
from mpidl.components.strategies.inbox import Inbox, Look
from mpidl.components.strategies.schedules import SCHEDULES
from mpidl.components.strategies.weights import STRATEGIES, Array, softmax
from mpidl.config.registry import Builder
from mpidl.config.runfile import ScheduleSettings, StrategySettings

__all__ = [
    "SCHEDULES",
    "STRATEGIES",
    "Inbox",
    "Look",
    "combines",
    "looks",
    "robust",
    "row",
    "sequential",
    "similarity",
    "sinkhorn",
    "softmax",
    "sparse",
    "stacked",
    "temperature",
    "timeless",
]

EXTREME = 1e300
"""Coefficients are cut off here, so that one over a tiny temperature stays finite."""


def temperature(strategy: StrategySettings, schedule: ScheduleSettings, round: int) -> float:
    """The temperature of one round; infinite where the schedule's coefficient is 0."""
    coefficient = np.clip(1.0 / strategy.temperature, -EXTREME, EXTREME)
    coefficient = float(SCHEDULES.build(schedule, round, float(coefficient)))
    return 1.0 / coefficient if coefficient else math.inf


@cache
def _signature(strategy: Builder) -> inspect.Signature:
    # It is asked for each device in each round.
    return inspect.signature(strategy)


def looks(name: str) -> bool:
    """Whether a strategy looks at the inbox: a second argument before the ``/`` asks for it."""
    given = _signature(STRATEGIES[name]).parameters.values()
    return sum(argument.kind is argument.POSITIONAL_ONLY for argument in given) > 1


def combines(name: str) -> bool:
    """Whether a strategy gives the mixture itself and no weights: its annotation says so.

    ``Tensor`` and ``torch.Tensor``, themselves or as text.
    """
    told = _signature(STRATEGIES[name]).return_annotation
    if isinstance(told, str):
        # Where annotations are postponed, what was text before is text within text.
        return told.strip("'\" ").rpartition(".")[2] == "Tensor"
    return (getattr(told, "__module__", ""), getattr(told, "__name__", "")) == ("torch", "Tensor")


def row(
    strategy: StrategySettings,
    schedule: ScheduleSettings,
    view: Neighborhood,
    look: Look | None = None,
) -> Any:
    """Weights over ``view.members``, ``(K,)``, in the round of the view; they sum to 1.

    Of a strategy that :func:`combines` it is the mixture itself, a tensor ``(P,)``. The temperature
    of the strategy, where it has one, follows the schedule. ``look`` is given for a strategy that
    :func:`looks`.

    Raises:
        Fault: If the strategy gives anything else.
    """
    parameters = _parameters(strategy, schedule, view.round)
    if look is None:
        return rows.weights(strategy.name, view, STRATEGIES[strategy.name](view, **parameters))
    inbox = look(view)
    made = STRATEGIES[strategy.name](view, inbox, **parameters)
    if combines(strategy.name):
        return rows.mixture(strategy.name, view, inbox, made)
    return rows.weights(strategy.name, view, made)


def timeless(strategy: StrategySettings, view: Neighborhood) -> bool:
    """Whether a row is the same in every round, if all else is: its strategy asks for no round."""
    watched = rows.Watched(**{own.name: getattr(view, own.name) for own in fields(view)})
    STRATEGIES[strategy.name](watched, **STRATEGIES.parameters(strategy))
    return not watched.asked


def _parameters(
    strategy: StrategySettings, schedule: ScheduleSettings, round: int
) -> dict[str, Any]:
    parameters = STRATEGIES.parameters(strategy)
    if "temperature" in parameters:
        parameters["temperature"] = temperature(strategy, schedule, round)
    return parameters


def stacked(rows: Mapping[int, tuple[Sequence[int], Array]]) -> Array:
    """The matrix ``(N, N)`` of all devices' rows, from their members and weights."""
    matrix = np.zeros((len(rows), len(rows)))
    for device, (members, weights) in rows.items():
        matrix[device, members] = weights
    return matrix


def sparse(rows: Mapping[int, tuple[Sequence[int], Array]]) -> Any:
    """The same matrix as a sparse one of scipy, from members and weights of all N devices."""
    from scipy.sparse import csr_array

    members, weights = zip(*(rows[device] for device in range(len(rows))), strict=True)
    ends = np.cumsum([0, *map(len, members)])
    size = len(rows), len(rows)
    return csr_array((np.concatenate(weights), np.concatenate(members), ends), shape=size)


def sequential(matrix: Array, order: Sequence[int]) -> Array:
    """The matrix ``(N, N)`` of a sweep in which each device mixes in place, in the given order.

    A later device reads what earlier ones have already mixed, so knowledge crosses several links
    in one round: what the published testbed did by accident. Devices left out do not mix.
    """
    swept = np.eye(len(matrix))
    for device in order:
        swept[device] = matrix[device] @ swept
    return swept
