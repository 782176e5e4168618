"""Trial of an optimizer of torch before a run, on a few numbers.

It tells whether the optimizer takes steps, how much it keeps, and whether it goes on from its saved
state as if it had never stopped.
"""

import json
from typing import TYPE_CHECKING, Any

from mpidl.components import packed
from mpidl.components.lr_schedules import LR_SCHEDULES
from mpidl.components.torch_optimizers import TorchOptimizer, named, told
from mpidl.config import plugins
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import TrainingSettings

if TYPE_CHECKING:
    from torch import Tensor

TRIED = 3
"""Most steps of a trial before its state is saved, and after that."""

SIDE = 64
"""Rows and columns of the matrix of a trial."""

_tried: dict[str, float] = {}
"""Numbers that optimizers keep, by their settings."""


def state_numbers(training: TrainingSettings, schedule: Any) -> float:
    """Numbers that an optimizer keeps for each number of a model, about; it is tried for that.

    Args:
        training: The name and the settings of the optimizer.
        schedule: The section ``[lr_schedule]``.

    Raises:
        Fault: If it takes no steps, or cannot go on from its saved state.
    """
    key = json.dumps([training.model_dump(), schedule.model_dump()], default=str)
    if key not in _tried:
        _tried[key] = _trial(training, schedule)
    return _tried[key]


def _trial(training: TrainingSettings, schedule: Any) -> float:
    import torch

    subject = f"training.optimizer = {training.optimizer!r}"
    kind = plugins.find(training.optimizer, subject=subject)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        first = torch.nn.Parameter(torch.randn(SIDE, SIDE))
        optimizer = TorchOptimizer(training, [first], schedule)
        steps = min(TRIED, getattr(optimizer.scheduler, "total_steps", 2 * TRIED) // 2)
        with told(subject, kind):
            _steps(optimizer, first, steps)
        second = torch.nn.Parameter(first.detach().clone())
        continued = TorchOptimizer(training, [second], schedule)
        try:
            continued.remember([second], optimizer.memory([first]))
        except packed.PackingError as unknown:
            raise Fault(
                _unsaved(training, schedule, f"it has something of type {unknown}")
            ) from None
        for each, weight in ((optimizer, first), (continued, second)):
            if training.optimizer_state == "reset":
                each.reset()
            torch.default_generator.manual_seed(1)
            _steps(each, weight, steps)
        if not torch.equal(first, second):
            reason = "with it other steps follow than without a stop"
            raise Fault(_unsaved(training, schedule, reason))
    kept = optimizer.optimizer.state.get(first, {})
    numbers = [value.numel() for value in kept.values() if isinstance(value, torch.Tensor)]
    return sum(number for number in numbers if number > 1) / first.numel()


def _steps(optimizer: TorchOptimizer, weight: "Tensor", count: int) -> None:
    import torch

    for _ in range(count):
        optimizer.step([weight], [torch.randn(SIDE, SIDE)])


def _unsaved(training: TrainingSettings, schedule: Any, reason: str) -> str:
    subject = f"training.optimizer = {training.optimizer!r}"
    if LR_SCHEDULES.properties(schedule.name).scheduler:
        subject += f" with lr_schedule.name = {schedule.name!r}"
    kept = training.optimizer_state == "kept"
    remedy = "; training.optimizer_state = 'reset' keeps none" if kept else ""
    return f"{subject}: its state cannot be saved, as {reason}{remedy}."


def check(training: TrainingSettings, schedule: Any) -> None:
    """Check that optimizer, its settings, schedule and batching go together.

    Args:
        training: The section ``[training]``.
        schedule: The section ``[lr_schedule]``.

    Raises:
        Fault: With a sentence for the first setting that does not fit.
    """
    by_torch = LR_SCHEDULES.properties(schedule.name).scheduler
    if not named(training):
        if training.optimizer_settings is not None:
            raise Fault(
                f"training.optimizer_settings = {shown(training.optimizer_settings)}: are those of "
                f"an optimizer by module, such as 'torch.optim:RMSprop', not of "
                f"{training.optimizer!r}."
            )
        if by_torch:
            raise Fault(
                f"lr_schedule.name = {schedule.name!r}: needs an optimizer of torch, such as "
                f"training.optimizer = 'torch.optim:SGD', not {training.optimizer!r}."
            )
        return
    for key in ("momentum", "weight_decay", "betas"):
        if getattr(training, key) != TrainingSettings.model_fields[key].default:
            raise Fault(
                f"training.{key} = {shown(getattr(training, key))}: is a setting of mpidl's own "
                f"optimizers; training.optimizer_settings = {{ {key} = ... }} gives it to "
                f"{training.optimizer!r}."
            )
    if training.batched == "yes":
        raise Fault(
            f"training.batched = 'yes': devices with training.optimizer = {training.optimizer!r} "
            "train one after another; 'auto' and 'no' do that."
        )
    state_numbers(training, schedule)
