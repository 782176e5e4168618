"""Optimizers and schedulers of torch, or written like them, for one device.

A run file names the class: ``training.optimizer = "torch.optim:RMSprop"``.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mpidl.components import packed
from mpidl.components.lr_schedules import LR_SCHEDULES
from mpidl.config import plugins
from mpidl.config.faults import Fault, nearest
from mpidl.config.runfile import TrainingSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STATE = "optimizer_state"
"""The name of the packed state in a device's memory; its length changes."""


def named(training: TrainingSettings) -> bool:
    """Whether a run file names an optimizer by module or file."""
    return plugins.names_code(training.optimizer)


class TorchOptimizer:
    """An optimizer of torch, and perhaps a scheduler that takes a step after each of its steps.

    Args:
        training: The name and the settings of the optimizer.
        weights: The trained weights.
        schedule: The section ``[lr_schedule]``; a scheduler is made if it names one.
        steps: The number of steps that will be taken.

    Attributes:
        optimizer: The optimizer.
        scheduler: The scheduler, or None.

    Raises:
        Fault: If the class is no optimizer, or does not take its settings or these weights.
    """

    def __init__(
        self,
        training: TrainingSettings,
        weights: "Sequence[Tensor]",
        schedule: Any = None,
        steps: int = 0,
    ) -> None:
        self._training, self._weights = training, list(weights)
        # A run goes on with what it loaded, whatever becomes of the file.
        self._kind = _kind(training)
        self.optimizer = _optimizer(self._kind, training, self._weights)
        self.scheduler = _scheduler(schedule, self.optimizer, steps)

    def reset(self) -> None:
        """Reset the state of the optimizer, as if newly made; a scheduler goes on."""
        fresh = _optimizer(self._kind, self._training, self._weights)
        if self.scheduler is None:
            self.optimizer = fresh
        else:
            self.optimizer.state = fresh.state

    def step(
        self, weights: "Sequence[Tensor]", gradients: "Sequence[Tensor]", factor: float = 1.0
    ) -> None:
        """Change the weights in place.

        Args:
            weights: Those that it was made with.
            gradients: One of its shape for each.
            factor: The factor of the learning rate in this step, if there is no scheduler.
        """
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        if self.scheduler is None:
            for group in self.optimizer.param_groups:
                group["lr"] = self._training.lr * factor
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        for weight in weights:
            weight.grad = None

    def memory(self, weights: "Sequence[Tensor]") -> "dict[str, Tensor]":
        """State after a round, packed: ``optimizer_state``, ``(n,)``.

        Raises:
            PackingError: If it has something that cannot be packed.
        """
        kept: dict[str, Any] = {}
        if self._training.optimizer_state == "kept":
            kept["state"] = [self.optimizer.state.get(weight) for weight in weights]
        if self.scheduler is not None:
            kept["scheduler"] = self.scheduler.state_dict()
            kept["groups"] = [_settings(group) for group in self.optimizer.param_groups]
        return {STATE: packed.pack(kept)} if kept else {}

    def remember(self, weights: "Sequence[Tensor]", memory: "Mapping[str, Tensor]") -> None:
        """Take what :meth:`memory` gave."""
        self.reset()
        kept = packed.unpack(memory[STATE]) if STATE in memory else {}
        for weight, state in zip(weights, kept.get("state", []), strict=False):
            if state is not None:
                here = self.optimizer.state.get(weight, {})
                self.optimizer.state[weight] = {
                    key: _placed(value, here.get(key), weight) for key, value in state.items()
                }
        if self.scheduler is not None and "scheduler" in kept:
            self.scheduler.load_state_dict(kept["scheduler"])
            for group, settings in zip(self.optimizer.param_groups, kept["groups"], strict=True):
                group.update(settings)


def _placed(value: Any, here: Any, weight: "Tensor") -> Any:
    """A value of a state on the hardware where it belongs; single numbers stay on the host."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if isinstance(here, torch.Tensor):
        return value.to(here.device)
    return value.to(weight.device) if value.ndim else value


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _subject(training: TrainingSettings) -> str:
    return f"training.optimizer = {training.optimizer!r}"


def _kind(training: TrainingSettings) -> Any:
    """The class of an optimizer, which takes its settings."""
    from torch.optim import Optimizer

    subject = _subject(training)
    kind = plugins.find(training.optimizer, subject=subject)
    if not (inspect.isclass(kind) and issubclass(kind, Optimizer)):
        raise Fault(f"{subject}: must be a class derived from torch.optim.Optimizer.")
    known = inspect.signature(kind).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    free = {*list(known)[1:]} - {"lr"}
    for key in training.optimizer_settings or {}:
        if key == "lr":
            raise Fault("training.optimizer_settings.lr: must be set as training.lr.")
        if key not in free and not takes_any:
            raise Fault(f"Unknown setting training.optimizer_settings.{key}; {nearest(key, free)}")
    return kind


def _optimizer(
    kind: Any, training: TrainingSettings, weights: "Sequence[Tensor]"
) -> "torch.optim.Optimizer":
    with told(_subject(training), kind):
        made: torch.optim.Optimizer = kind(
            list(weights), lr=training.lr, **(training.optimizer_settings or {})
        )
    return made


def _scheduler(
    section: Any, optimizer: "torch.optim.Optimizer", steps: int
) -> "torch.optim.lr_scheduler.LRScheduler | None":
    if section is None or not LR_SCHEDULES.properties(section.name).scheduler:
        return None
    kind = inspect.unwrap(LR_SCHEDULES[section.name])
    with told(f"lr_schedule.name = {section.name!r}", kind):
        made: Any = LR_SCHEDULES.build(section, optimizer)
    subject = f"lr_schedule.name = {section.name!r}:"
    if list(inspect.signature(made.step).parameters)[:1] == ["metrics"]:
        raise Fault(f"{subject} takes a measured value at each step, which a run does not give it.")
    if (total := getattr(made, "total_steps", steps)) < steps:
        raise Fault(
            f"{subject} ends after {total:,} steps; a device takes {steps:,} local steps here."
        )
    return made  # type: ignore[no-any-return]


@contextmanager
def told(subject: str, kind: Any) -> Iterator[None]:
    """Tell in a sentence what torch's own classes say; others' errors keep their traceback."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, Fault) or not kind.__module__.startswith("torch."):
            raise
        words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise Fault(f"{subject}: torch says: {words}.") from None
