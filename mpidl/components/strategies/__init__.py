"""Strategies: mixing weights of a device, schedules of the temperature, and the mixing matrix."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import checked, robust, similarity, sinkhorn
from mpidl.components.strategies.inbox import Inbox, Look
from mpidl.components.strategies.schedules import SCHEDULES
from mpidl.components.strategies.weights import STRATEGIES, Array, softmax
from mpidl.config import parameters
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
"""Largest modulus of a coefficient, so that one over a tiny temperature stays finite."""


def temperature(strategy: StrategySettings, schedule: ScheduleSettings, round: int) -> float:
    """The temperature of one round; infinite if the schedule's coefficient is 0."""
    full = float(np.clip(1.0 / strategy.temperature, -EXTREME, EXTREME))
    coefficient: float = SCHEDULES.build(schedule, round, full)
    return 1.0 / coefficient if coefficient else math.inf


def looks(name: str) -> bool:
    """Whether a strategy takes the inbox, as a second argument before the ``/``."""
    return parameters.given(STRATEGIES[name])[1] > 1


def combines(name: str) -> bool:
    """Whether a strategy returns the mixture itself in place of weights, by its annotation.

    The annotation is ``Tensor`` or ``torch.Tensor``, the class or its name as text.
    """
    annotation = parameters.signature(STRATEGIES[name]).return_annotation
    if isinstance(annotation, str):
        # If annotations are postponed, an annotation that was text is text within text.
        return annotation.strip("'\" ").rpartition(".")[2] == "Tensor"
    return (getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")) == (
        "torch",
        "Tensor",
    )


def row(
    strategy: StrategySettings,
    schedule: ScheduleSettings,
    view: Neighborhood,
    look: Look | None = None,
) -> Any:
    """Mixing weights over ``view.members``, ``(K,)``, in the round of the view; they sum to 1.

    For a strategy that :func:`combines` it is the mixture itself, a tensor ``(P,)``. The
    temperature of the strategy, if it has one, follows the schedule. ``look`` is needed for a
    strategy that :func:`looks`.

    Raises:
        Fault: If the strategy returns anything else.
    """
    settings = _settings(strategy, schedule, view.round)
    if look is None:
        return checked.weights(
            strategy.name, view, STRATEGIES.call(strategy.name, view, **settings)
        )
    inbox = look(view)
    result = STRATEGIES.call(strategy.name, view, inbox, **settings)
    if combines(strategy.name):
        return checked.mixture(strategy.name, view, inbox, result)
    return checked.weights(strategy.name, view, result)


def timeless(strategy: StrategySettings, view: Neighborhood) -> bool:
    """Whether mixing weights stay the same while all else does: the strategy reads no round."""
    watched = checked.Watched(**{own.name: getattr(view, own.name) for own in fields(view)})
    STRATEGIES.call(strategy.name, watched, **STRATEGIES.parameters(strategy))
    return not watched.read


def _settings(strategy: StrategySettings, schedule: ScheduleSettings, round: int) -> dict[str, Any]:
    settings = STRATEGIES.parameters(strategy)
    if "temperature" in settings:
        settings["temperature"] = temperature(strategy, schedule, round)
    return settings


def stacked(weights: Mapping[int, tuple[Sequence[int], Array]]) -> Array:
    """The mixing matrix ``(N, N)``, from members and mixing weights of all devices."""
    matrix = np.zeros((len(weights), len(weights)))
    for device, (members, own) in weights.items():
        matrix[device, members] = own
    return matrix


def sparse(weights: Mapping[int, tuple[Sequence[int], Array]]) -> Any:
    """The mixing matrix as a sparse one of scipy, from members and weights of all N devices."""
    from scipy.sparse import csr_array

    members, values = zip(*(weights[device] for device in range(len(weights))), strict=True)
    ends = np.cumsum([0, *map(len, members)])
    size = len(weights), len(weights)
    return csr_array((np.concatenate(values), np.concatenate(members), ends), shape=size)


def sequential(matrix: Array, order: Sequence[int]) -> Array:
    """The matrix ``(N, N)`` of a round in which devices mix in place, one after the other.

    A later device reads models that earlier ones have already mixed, so knowledge crosses several
    links in one round, as in the published testbed by accident. Devices that are not in ``order``
    do not mix.
    """
    swept = np.eye(len(matrix))
    for device in order:
        swept[device] = matrix[device] @ swept
    return swept
