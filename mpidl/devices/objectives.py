"""Objectives of devices: the loss of a batch, and what a test set is scored by.

Shapes: D devices, B samples of a batch, C classes.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from mpidl.components.tasks import IGNORED, Batch
from mpidl.config.faults import Fault, shown
from mpidl.devices.scores import Means, Tally
from mpidl.storage import run_series

Found = Any
"""What a batch of a test set is scored by: a tensor, or tensors by name."""


class Objective(Protocol):
    """Interface of what models are trained for.

    Attributes:
        values: Names of the values of a score beside its loss.
        masks: Whether targets that are :data:`mpidl.components.tasks.IGNORED` do not count, so that
            devices with batches of different sizes can be trained at once.
    """

    @property
    def values(self) -> tuple[str, ...]:
        """See above."""

    @property
    def masks(self) -> bool:
        """See above."""

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, ``()``."""

    def found(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Found:
        """What :meth:`tally` counts of one device's batch."""

    def tally(self, devices: int, classes: int, hardware: torch.device) -> Tally | Means:
        """An empty count for ``D`` devices on one test set."""

    def testing(self) -> Any:
        """The context in which a test set is scored."""


class Answers:
    """Objective of models that give a score for each class or token: cross-entropy, accuracy."""

    values = ("accuracy",)
    masks = True

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, the mean over all targets that count."""
        logits = model(inputs).float().flatten(0, -2)
        return functional.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED)

    def found(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Found:
        """The scores, ``(B, C)``, or of every token ``(B, L, V)``."""
        return model(inputs)

    def tally(self, devices: int, classes: int, hardware: torch.device) -> Tally:
        """An empty count of answers."""
        return Tally(devices, classes, hardware)

    def testing(self) -> Any:
        """No gradients are kept, nor can they be asked for."""
        return torch.inference_mode()


ANSWERS = Answers()


class Called:
    """Objective that a task of ``TASKS`` gives when it is called.

    Args:
        name: The name of the task.
        task: The task, with the settings of the run file.

    Attributes:
        values: Names of its values, known after :meth:`examine`.
    """

    masks = False

    def __init__(self, name: str, task: Callable[[Any, Batch], Any]) -> None:
        self._name, self._task = name, task
        self.values: tuple[str, ...] = ()

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss that the task gives, ``()``."""
        loss: Tensor = _parts(self._call(model, inputs, targets))[0].reshape(())
        return loss

    def found(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Found:
        """Loss and values by name, ``()`` each.

        Raises:
            RuntimeError: If the task gives other values than when the run began.
        """
        loss, values = _parts(self._call(model, inputs, targets))
        if tuple(values) != self.values:
            raise RuntimeError(
                f"task {self._name!r} gave the values {', '.join(self.values) or 'none'} when the "
                f"run began, and gives {', '.join(map(str, values)) or 'none'} now"
            )
        numbers = {"loss": loss, **values}
        return {k: torch.as_tensor(v, device=inputs.device).reshape(()) for k, v in numbers.items()}

    def tally(self, devices: int, classes: int, hardware: torch.device) -> Means:
        """Empty sums of loss and values."""
        return Means(devices, self.values, hardware)

    def testing(self) -> Any:
        """No gradients are kept, but a task may ask for them by ``torch.enable_grad``."""
        return torch.no_grad()

    def examine(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        """Call the task once, check what it gives, and note the names of its values.

        Raises:
            Fault: If it does not give a loss that models can learn by, and values with valid names.
        """
        subject = f"task.name = {self._name!r}:"
        given = self._call(model, inputs, targets)
        loss, values = _parts(given)
        if not (isinstance(loss, Tensor) and loss.is_floating_point() and loss.numel() == 1):
            raise Fault(
                f"{subject} gives {_described(given)}; must give the loss, a tensor of one "
                "floating number, or (loss, {name: value})."
            )
        if not loss.requires_grad:
            raise Fault(f"{subject} its loss does not follow from what the model learns.")
        if not isinstance(values, Mapping):
            raise Fault(f"{subject} gives {_described(values)} beside the loss; must be a dict.")
        for key, value in values.items():
            if not (value.numel() == 1 if isinstance(value, Tensor) else _number(value)):
                described = _described(value)
                raise Fault(f"{subject} its value {shown(key)} is {described}; must be one number.")
        names = tuple(values)
        run_series.of(0, names)
        self.values = names

    def _call(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Any:
        """What the task gives; its error is told with the shapes that it had to do with."""
        try:
            return self._task(model, Batch(inputs, targets))
        except Exception as error:  # a user's task may raise anything
            error.add_note(_shapes(model, inputs, targets))
            raise


def _shapes(model: nn.Module, inputs: Tensor, targets: Tensor) -> str:
    """The shapes of a batch and of what a model gives for it, if it can be given the batch."""
    had = f"The batch has inputs of the shape {tuple(inputs.shape)} and targets of the shape"
    given = None
    with suppress(Exception), torch.no_grad():
        given = model(inputs)
    gives = f", and the model gives {_described(given)} for it" * (given is not None)
    return f"{had} {tuple(targets.shape)}{gives}."


def _parts(given: Any) -> tuple[Any, Any]:
    """Loss and values of what a task gave."""
    return given if isinstance(given, tuple) and len(given) == 2 else (given, {})


def _number(value: Any) -> bool:
    return isinstance(value, float | int)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and the shape {tuple(value.shape)}"
    return shown(value)
