"""Schedules that change the coefficient, one over the temperature, from round to round."""

import math
from numbers import Real
from typing import Annotated, Any

from pydantic import Field

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry


class ScheduleProperties(Properties):
    """Properties of a schedule.

    Attributes:
        steady: Whether the coefficient is the same in every round.
    """

    steady: bool = False


def _checked(name: str, found: Any, round: int, *_: object) -> float:
    """The coefficient that a schedule returned.

    Raises:
        Fault: If it is no finite number.
    """
    if not isinstance(found, Real) or not math.isfinite(found):
        raise Fault(
            f"schedule.name = {name!r}: in round {round + 1} it gives {shown(found)}: must be a "
            "finite number."
        )
    return float(found)


SCHEDULES = Registry("schedule", ScheduleProperties, gives=2, check=_checked)
"""``builder(round, coefficient, /, ...)``: the coefficient in that round; rounds count from 0."""

Count = Annotated[int, Field(ge=1)]


@SCHEDULES.add(steady=True)
def constant(round: int, coefficient: float, /) -> float:
    """The same in every round."""
    return coefficient


@SCHEDULES.add
def exponential(
    round: int,
    coefficient: float,
    /,
    gamma: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.95,
    floor: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0,
) -> float:
    """Shrinks by a factor gamma each round, down to a floor; a negative one keeps its sign."""
    return math.copysign(max(abs(coefficient) * gamma**round, floor), coefficient)


@SCHEDULES.add
def cosine(
    round: int,
    coefficient: float,
    /,
    eta_min: Annotated[float, Field(allow_inf_nan=False)] = 1.0,
    period: Count = 66,
    multiplier: Count = 1,
) -> float:
    """Falls along half a cosine to ``eta_min``, then restarts; each period is longer by a factor.

    Round 0 has the full coefficient. ``eta_min`` may be negative: late in each period devices of
    low centrality are then preferred. Source: Loshchilov and Hutter, 2017, arXiv 1608.03983. The
    published testbed is one round late: its round r has the coefficient that round r - 1 has here.
    """
    while round >= period:
        round -= period
        period *= multiplier
    fall = (1 + math.cos(math.pi * round / period)) / 2
    return eta_min + (coefficient - eta_min) * fall


@SCHEDULES.add
def oscillating(round: int, coefficient: float, /, period: Count = 10) -> float:
    """Flips the sign every period: devices of high and of low centrality are preferred in turn."""
    return -coefficient if round // period % 2 else coefficient
