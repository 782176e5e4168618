"""Learning-rate schedules by name: factors of ``training.lr`` that change as rounds pass.

Time is counted in rounds, not in local steps: devices with different numbers of steps then have the
same learning rate at the same time, and a run that goes on needs to know only its round. Within a
round time passes step by step: step s of S in round r is taken at time r + s/S.
"""

import inspect
import math
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any

from pydantic import Field

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Builder, Properties, Registry

Factor = Callable[[float], float]
"""The factor of ``training.lr`` at a time in rounds; rounds count from 0."""

CHECKED = 200
"""Most times at which the factors of a schedule are checked before a run."""


class LrScheduleProperties(Properties):
    """Properties of a learning-rate schedule.

    Attributes:
        steady: Whether the factor is 1 at all times.
        scheduler: Whether it is a scheduler of torch, which changes an optimizer of torch.
    """

    steady: bool = False
    scheduler: bool = False


class _LrSchedules(Registry[LrScheduleProperties]):
    """Registry in which a scheduler of torch becomes a builder that takes the optimizer."""

    def needs(self, name: str) -> str:
        """A clause for a missing setting; none for a scheduler of torch, which is as it is."""
        return "" if self.properties(name).scheduler else super().needs(name)

    def _foreign_name(self, builder: Builder, name: str) -> str:
        if name not in self and _of_torch(builder):
            builder = _taking_optimizer(builder)
            self._declared[builder] = LrScheduleProperties(scheduler=True)
        return name if name in self else super()._foreign_name(builder, name)


def _of_torch(builder: Builder) -> bool:
    """Whether a builder is a scheduler of torch, which is loaded if it is one."""
    module = sys.modules.get("torch.optim.lr_scheduler")
    return (
        module is not None and inspect.isclass(builder) and issubclass(builder, module.LRScheduler)
    )


def _taking_optimizer(kind: Builder) -> Builder:
    first, *others = inspect.signature(kind).parameters.values()

    @wraps(kind, updated=())
    def make(optimizer: Any, /, **settings: Any) -> Any:
        return kind(optimizer, **settings)

    settings = [other for other in others if other.name not in CONTINUING]
    taken = [first.replace(kind=first.POSITIONAL_ONLY), *settings]
    vars(make)["__signature__"] = inspect.Signature(taken)
    return make


CONTINUING = ("last_epoch", "verbose")
"""Arguments of torch's schedulers that no run file sets."""

LR_SCHEDULES = _LrSchedules("learning-rate schedule", LrScheduleProperties, gives=1)
"""``builder(time, /, ...)``: the factor of ``training.lr`` at a time in rounds, a number from 0.

A setting ``rounds`` that is unset becomes ``training.rounds``. A scheduler of torch,
``"torch.optim.lr_scheduler:OneCycleLR"``, is a builder, too: ``builder(optimizer, /, ...)``.
"""

Rounds = Annotated[int, Field(ge=1, le=10**9)]
Some = Annotated[int, Field(ge=0, le=10**9)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@LR_SCHEDULES.add(steady=True)
def constant(time: float, /) -> float:
    """The same at all times."""
    return 1.0


@LR_SCHEDULES.add
def warmup(time: float, /, warmup: Rounds = 5, start: Part = 0.1) -> float:
    """Rises linearly from ``start`` to 1 in the first ``warmup`` rounds, and stays there.

    Source: Goyal et al., 2017, arXiv 1706.02677.
    """
    return 1.0 if time >= warmup else _ramp(time, warmup, start)


@LR_SCHEDULES.add
def cosine(
    time: float,
    /,
    rounds: Rounds | None = None,
    floor: Part = 0.0,
    warmup: Some = 0,
    start: Part = 0.1,
) -> float:
    """Falls along half a cosine from 1 to ``floor`` until ``rounds``, after a linear warm-up.

    In the first ``warmup`` rounds it rises from ``start`` to 1; after ``rounds`` it stays at
    ``floor``. Source: Loshchilov and Hutter, 2017, arXiv 1608.03983, without restarts.
    """
    if rounds is None or warmup >= rounds:
        raise Fault(
            f"lr_schedule.warmup = {warmup}: must be less than the {rounds} rounds of the schedule."
        )
    if time < warmup:
        return _ramp(time, warmup, start)
    share = min(1.0, (time - warmup) / (rounds - warmup))
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2


def _ramp(time: float, rounds: int, start: float) -> float:
    """The line from ``start`` at time 0 to 1 after so many rounds."""
    return start + (1 - start) * time / rounds


@LR_SCHEDULES.add
def step_decay(
    time: float,
    /,
    every: Rounds = 30,
    gamma: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.1,
) -> float:
    """Shrinks by a factor ``gamma`` after every so many rounds."""
    return float(gamma ** (time // every))


def lasting(section: Any, rounds: int) -> Any:
    """The section of a schedule whose setting ``rounds``, if it has one, is not unset.

    Args:
        section: The section ``[lr_schedule]``.
        rounds: The rounds of the run.
    """
    if getattr(section, "rounds", 1) is not None:
        return section
    return section.model_copy(update={"rounds": rounds})


def factor(section: Any) -> Factor | None:
    """The schedule of a run; None if its factor is always 1, or a scheduler of torch decides.

    Args:
        section: The section ``[lr_schedule]``, after :func:`lasting`.
    """
    declared = LR_SCHEDULES.properties(section.name)
    if declared.steady or declared.scheduler:
        return None
    return partial(LR_SCHEDULES.call, section.name, **LR_SCHEDULES.parameters(section))


def check(section: Any, rounds: int) -> None:
    """Check the factors of a schedule.

    Args:
        section: The section ``[lr_schedule]``, after :func:`lasting`.
        rounds: The rounds of the run.

    Raises:
        Fault: If one is not a finite number from 0.
    """
    schedule = factor(section)
    if schedule is None:
        return
    for time in range(0, rounds, -(-rounds // CHECKED)):
        value = schedule(float(time))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise Fault(
                f"lr_schedule.name = {section.name!r}: must give a finite number from 0, and gives "
                f"{shown(value)} at time {time}."
            )
